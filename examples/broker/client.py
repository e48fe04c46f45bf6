"""A client of a broker, with nothing but pynng: every message is a JSON object on a pair socket.

The other programs here use it; copy it for yours. docs/broker-protocol.md says what the objects may contain.
"""

import json
import sys
import uuid
from collections import deque

import pynng


class Client:
    """A connection to a broker. It is for one thread, which may have any number of requests under way."""

    def __init__(self, url):
        self.socket = pynng.Pair1(recv_timeout=10_000, send_timeout=10_000)
        self.socket.dial(url, block=True)
        self.answers = {}
        self.publications = deque()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, kind, destination, **fields):
        """Sends a request, and returns its id, by which `wait` finds the answer."""
        request = {"id": str(uuid.uuid4()), "type": kind, "destination": destination, **fields}
        self.socket.send(json.dumps(request).encode())
        return request["id"]

    def wait(self, sent):
        """The answer to a request, whatever its status."""
        while sent not in self.answers:
            self._receive()
        return self.answers.pop(sent)

    def ask(self, kind, destination, **fields):
        """The answer to a request that is to succeed; ends the program if it does not."""
        answer = self.wait(self.send(kind, destination, **fields))
        if answer["status"] != "OK":
            sys.exit(f"{kind} {destination}: {answer['status']}: {answer.get('text')}")
        return answer

    def publication(self):
        """The next message that was published on a topic this client has subscribed to."""
        while not self.publications:
            self._receive()
        return self.publications.popleft()

    def _receive(self):
        message = json.loads(self.socket.recv())
        if message["type"] == "RESPONSE":
            self.answers[message["id"]] = message
        else:
            self.publications.append(message)
