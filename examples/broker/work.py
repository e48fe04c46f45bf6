"""Queues in Python, with nothing but pynng: jobs are offered and polled.

    wirebird broker &
    python3 examples/broker/work.py [URL]
"""

import sys

from client import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7420"

with Client(URL) as client:
    client.ask("CREATE_QUEUE", "python/jobs", data={"capacity": 100})
    for number in range(1, 4):
        client.ask("OFFER", "python/jobs", data={"number": number})
    for _ in range(3):
        number = client.ask("POLL", "python/jobs")["data"]["number"]
        print(f"the square of {number} is {number * number}")

    # Waits for half a second, and is then told that the queue is empty.
    empty = client.wait(client.send("POLL", "python/jobs", timeout=500))
    assert empty["status"] == "QUEUE_EMPTY", empty

    # A queue of its own, for answers. This poll waits, and other requests are answered meanwhile.
    replies = client.ask("CREATE_TEMP_QUEUE", None, data={"capacity": 10})["text"]
    poll = client.send("POLL", replies, timeout=5000)
    client.ask("OFFER", "python/jobs", **{"text": "what is left?", "reply-to": replies})
    job = client.ask("POLL", "python/jobs")
    left = client.ask("STATUS_QUEUE", "python/jobs")["data"]["size"]
    client.ask("OFFER", job["reply-to"], text=f"{left} jobs are left")
    print(client.wait(poll)["text"])

    client.ask("REMOVE_QUEUE", "python/jobs")
    print("done")
