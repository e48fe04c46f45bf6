"""Functions in Python, with nothing but pynng: calls one that worker.py serves.

    wirebird broker --config broker.toml &
    python3 examples/broker/worker.py tcp://127.0.0.1:7430 &
    python3 examples/broker/functions.py [URL [FUNCTION]]

where broker.toml is that of worker.py. The function is `words`, if no other is named.
"""

import json
import sys

from client import Client

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7420"
FUNCTION = sys.argv[2] if len(sys.argv) > 2 else "words"

with Client(URL) as client:
    answer = client.ask("REQUEST", FUNCTION, text="how many words are these")
    print(json.loads(answer["text"])["words"], "words")

    # Several at once; their answers may come in any order.
    texts = ["one", "one two", "one two three"]
    sent = [client.send("REQUEST", FUNCTION, text=text, timeout=5000) for text in texts]
    for text, one in zip(texts, sent):
        answer = client.wait(one)
        assert answer["status"] == "OK", answer
        assert json.loads(answer["text"])["words"] == len(text.split()), answer
    print(f"{len(texts)} calls at once")

    # Oneway: there is no answer.
    client.send("REQUEST", FUNCTION, text="nobody waits for this", oneway=True)

    nothing = client.wait(client.send("REQUEST", "nothing", text=""))
    print(nothing["status"])
    print("done")
