"""A worker in Python, with nothing but pynng: it serves a function of a broker that has an endpoint for workers.

    wirebird broker --config broker.toml &
    python3 examples/broker/worker.py tcp://127.0.0.1:7430 &
    wirebird call words 'how many words are these'

where broker.toml says:

    [[endpoints]]
    kind = "workers"
    destination = "words"
    listen = ["tcp://127.0.0.1:7430"]
    text = true

Any number of workers share the calls. When one dies, its call goes to another.
"""

import json
import sys

import pynng

URL = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:7430"

with pynng.Rep0() as socket:
    socket.dial(URL, block=True)
    print("ready", flush=True)
    while True:
        words = socket.recv().decode().split()
        answer = {"words": len(words), "longest": max(words, key=len, default=None)}
        socket.send(json.dumps(answer).encode())
