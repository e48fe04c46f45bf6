"""The pynng side of tests/interop_broker.rs: one function for each part a test gives it.

    broker.py FUNCTION URL

Prints "done" when all went as it should, and ends with an error otherwise.
"""

import base64
import json
import sys
import uuid

try:
    import pynng
except ImportError:
    sys.exit(
        f"pynng is not installed: {sys.executable} -m pip install pynng (./test.sh does it)"
    )

DEADLINE_MS = 10_000


class Client:
    """Requests and answers in JSON, over a pair socket."""

    def __init__(self, url):
        self.socket = pynng.Pair1(recv_timeout=DEADLINE_MS, send_timeout=DEADLINE_MS)
        self.socket.dial(url, block=True)

    def send(self, kind, destination=None, **fields):
        request = {"id": str(uuid.uuid4()), "type": kind, **fields}
        if destination:
            request["destination"] = destination
        self.socket.send(json.dumps(request).encode())
        return request["id"]

    def receive(self):
        return json.loads(self.socket.recv())

    def ask(self, kind, destination=None, status="OK", **fields):
        sent = self.send(kind, destination, **fields)
        answer = self.receive()
        assert (answer["id"], answer["status"]) == (sent, status), answer
        assert answer["type"] == "RESPONSE", answer
        return answer


def queues(url):
    client = Client(url)
    client.ask("CREATE_QUEUE", "python", data={"capacity": 10})
    client.ask("OFFER", "python", text="größer")
    client.ask("OFFER", "python", data={"list": [1, None, "x"]})
    raw = base64.b64encode(bytes(range(256))).decode()
    client.ask("OFFER", "python", data=raw, charset=None)
    assert client.ask("POLL", "python")["text"] == "größer"
    assert client.ask("POLL", "python")["data"] == {"list": [1, None, "x"]}
    assert client.ask("POLL", "python")["data"] == raw
    client.ask("POLL", "python", status="QUEUE_EMPTY", timeout=50)
    client.ask("POLL", "nothing", status="QUEUE_NOT_FOUND")
    client.ask("OFFER", "python", text="for the command line")
    status = client.ask("STATUS_QUEUE", "python")["data"]
    assert (status["size"], status["capacity"]) == (1, 10), status


def topics(url):
    subscriber, publisher = Client(url), Client(url)
    publisher.ask("CREATE_TOPIC", "news/python")
    subscriber.ask("SUBSCRIBE", "news/*")
    publisher.ask("PUBLISH", "news/python", text="hello", subject="greeting")
    heard = subscriber.receive()
    assert heard["destination"] == "news/python", heard
    assert (heard["text"], heard["subject"]) == ("hello", "greeting"), heard
    subscriber.ask("UNSUBSCRIBE", "news/*")
    publisher.ask("PUBLISH", "news/python", text="unheard")
    subscriber.ask("HEARTBEAT")


def pipelining(url):
    client = Client(url)
    client.ask("CREATE_QUEUE", "python", data={"capacity": 10})
    polls = [client.send("POLL", "python", timeout=-1) for _ in range(5)]
    # It is answered although those before it are not.
    client.ask("HEARTBEAT")
    other = Client(url)
    for number in range(5):
        other.ask("OFFER", "python", text=str(number))
    answers = {answer["id"]: answer["text"] for answer in (client.receive() for _ in polls)}
    assert answers == {sent: str(number) for number, sent in enumerate(polls)}, answers


def endless(url):
    """Works until it is killed."""
    client = Client(url)
    client.ask("CREATE_QUEUE", "shared", data={"capacity": 10})
    while True:
        client.ask("OFFER", "shared", text="x", timeout=-1)
        client.ask("POLL", "shared", timeout=-1)
        print("busy", flush=True)


PARTS = {"queues": queues, "topics": topics, "pipelining": pipelining, "endless": endless}
PARTS[sys.argv[1]](sys.argv[2])
print("done", flush=True)
