"""nng, through pynng, as the server of the demonstration in examples/browser and of tests/browser.rs.

    peer.py serve BASE              what the demonstration shows, at BASE/pair, BASE/rep and so on
    peer.py flood URL COUNT         pushes that many numbers to the first peer
    peer.py ask URL KIND QUESTION   asks the first peer, as Req0 or Surveyor0, and prints the answer
    peer.py hear URL COUNT          subscribes to everything and prints that many messages

Each prints "listening" when it is ready and stays until it is ended.
"""

import itertools
import sys
import threading
import time

try:
    import pynng
except ImportError:
    sys.exit(
        f"pynng is not installed: {sys.executable} -m pip install pynng (./test.sh does it)"
    )

DEADLINE_MS = 10_000
MAX_BYTES = 8 << 20


def say(line):
    print(line, flush=True)


def stay():
    threading.Event().wait()


def listen(socket, url):
    socket.recv_max_size = MAX_BYTES
    socket.listen(url)
    return socket


def background(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


def receive(socket):
    """As socket.recv(), which in pynng 0.9 fails on an empty message."""
    return socket.recv_msg().bytes


def chat(socket):
    """Everybody hears what anybody says."""
    while True:
        said = receive(socket)
        for pipe in socket.pipes:
            pipe.send(said)


def answer(socket, prefix=b""):
    while True:
        socket.send(prefix + receive(socket))


def work(pull, pub):
    while True:
        pub.send(b"done." + receive(pull))


def tick(pub):
    for count in itertools.count():
        pub.send(time.strftime("clock.%H:%M:%S").encode())
        pub.send(b"dice.%d" % (count * 5 % 6 + 1))
        time.sleep(0.5)


def hand_out(push):
    for number in itertools.count(1):
        push.send(b"task %d" % number)
        time.sleep(0.5)


def reflect(raw):
    """A raw bus does not send a message back to where it came from."""
    while True:
        raw.send_msg(raw.recv_msg())


def serve(base):
    def at(path, socket):
        return listen(socket, f"{base}/{path}")

    background(chat, at("pair", pynng.Pair1(polyamorous=True)))
    background(answer, at("rep", pynng.Rep0()))
    pub = at("pub", pynng.Pub0())
    background(tick, pub)
    background(work, at("pull", pynng.Pull0()), pub)
    background(hand_out, at("push", pynng.Push0()))
    for name in ("ann", "ben", "eve"):
        socket = at(f"respondent/{name}", pynng.Respondent0())
        background(answer, socket, f"{name}: ".encode())
    bus = pynng.Socket(opener=pynng.lib.nng_bus0_open_raw)
    background(reflect, at("bus", bus))


def flood(url, count):
    with listen(pynng.Push0(send_timeout=DEADLINE_MS), url) as socket:
        say("listening")
        for number in range(int(count)):
            socket.send(b"%d" % number)
        stay()


def ask(url, kind, question):
    with getattr(pynng, kind)(recv_timeout=DEADLINE_MS) as socket:
        connected = threading.Event()
        socket.add_post_pipe_connect_cb(lambda pipe: connected.set())
        if kind == "Surveyor0":
            socket.survey_time = DEADLINE_MS
        listen(socket, url)
        say("listening")
        connected.wait()
        socket.send(question.encode())
        say(f"answer {receive(socket).decode()}")
        stay()


def hear(url, count):
    with listen(pynng.Sub0(topics="", recv_timeout=DEADLINE_MS), url) as socket:
        say("listening")
        for _ in range(int(count)):
            say(f"heard {receive(socket).decode()}")
        stay()


def main(name, *args):
    functions = {"flood": flood, "ask": ask, "hear": hear}
    if name == "serve":
        serve(*args)
        say("listening")
        stay()
    functions[name](*args)


if __name__ == "__main__":
    main(*sys.argv[1:])
