"""A work queue in Python, with nothing but pynng: every message is a JSON object on a pair socket.

    wirebird broker &
    python3 examples/broker/work.py [URL]
"""

import json
import sys
import uuid

import pynng

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7420"


def ask(socket, kind, destination, **fields):
    """Sends a request and returns its answer; others may come in between when requests are not answered in order."""
    request = {"id": str(uuid.uuid4()), "type": kind, "destination": destination, **fields}
    socket.send(json.dumps(request).encode())
    while True:
        answer = json.loads(socket.recv())
        if answer["id"] == request["id"]:
            return answer


def expect_ok(answer):
    if answer["status"] != "OK":
        sys.exit(f"{answer['status']}: {answer.get('text')}")
    return answer


with pynng.Pair1(recv_timeout=10_000, send_timeout=10_000) as socket:
    socket.dial(URL, block=True)
    expect_ok(ask(socket, "CREATE_QUEUE", "python/jobs", data={"capacity": 100}))
    for number in range(1, 4):
        expect_ok(ask(socket, "OFFER", "python/jobs", data={"number": number}))
    while True:
        # Waits for half a second, and is then told that the queue is empty.
        job = ask(socket, "POLL", "python/jobs", timeout=500)
        if job["status"] == "QUEUE_EMPTY":
            break
        number = expect_ok(job)["data"]["number"]
        print(f"the square of {number} is {number * number}")
    expect_ok(ask(socket, "REMOVE_QUEUE", "python/jobs"))
    print("done")
