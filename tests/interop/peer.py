"""The pynng side of tests/interop_pynng.rs: one function for each part a test gives it.

    peer.py FUNCTION ARGUMENT...

Each prints a line when it is ready for its peer and "done" when all went as it should, and ends with an error
otherwise. After "done" it stays, since nng drops what it has not written when it closes.
"""

import asyncio
import os
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
ROWS = [bytes((at * 131 + first) & 0xFF for at in range(256)) for first in range(256)]


def body(size, seed):
    """The same bytes as `body` in tests/peers/mod.rs, made of rows of 256, since a survey does not wait for long."""
    rows = (ROWS[(row + seed) & 0xFF] for row in range(size // 256 + 1))
    return b"".join(rows)[:size]


def check(found, expected, what):
    if found != expected:
        raise SystemExit(
            f"{what}: {len(found)} bytes instead of {len(expected)}, begins {found[:40]!r}"
        )


def say(line):
    print(line, flush=True)


def stay():
    say("done")
    threading.Event().wait()


def open_socket(kind, raw=False, **options):
    options.setdefault("recv_timeout", DEADLINE_MS)
    options.setdefault("send_timeout", DEADLINE_MS)
    options.setdefault("reconnect_time_min", 10)
    if raw:
        opener = getattr(pynng.lib, f"nng_{kind.lower()}_open_raw")
        return pynng.Socket(opener=opener, **options)
    if kind == "Sub0":
        options.setdefault("topics", "")
    if kind == "Surveyor0":
        options.setdefault("survey_time", DEADLINE_MS)
    return getattr(pynng, kind)(**options)


def secure(socket, role):
    """Takes the CA and the certificate, those that there are, from the directory in WIREBIRD_TLS.

    Who has a CA demands a certificate of it.
    """
    config, directory = pynng.TLSConfig, os.environ["WIREBIRD_TLS"]
    ca, own = f"{directory}/ca.pem", f"{directory}/own.pem"
    trusts, shows = os.path.exists(ca), os.path.exists(own)
    socket.tls_config = config(
        config.MODE_SERVER if role == "listen" else config.MODE_CLIENT,
        server_name=None if role == "listen" else "localhost",
        auth_mode=config.AUTH_MODE_REQUIRED if trusts else config.AUTH_MODE_NONE,
        ca_files=ca if trusts else None,
        cert_key_file=own if shows else None,
    )


def connect(socket, role, url):
    """Connects the socket and waits until it has its peer."""
    if url.startswith("tls"):
        secure(socket, role)
    connected = threading.Event()
    socket.add_post_pipe_connect_cb(lambda pipe: connected.set())
    if role == "listen":
        socket.listen(url)
        say("listening")
    else:
        socket.dial(url, block=True)
    if not connected.wait(DEADLINE_MS / 1000):
        raise SystemExit("nobody came")


def receive(socket):
    """As socket.recv(), which in pynng 0.9 fails on an empty message."""
    return socket.recv_msg().bytes


def exchange(kind, role, url, *sizes):
    """Sends a message of each size and receives one, in the order that the protocol has."""
    with open_socket(kind) as socket:
        connect(socket, role, url)
        for size in map(int, sizes):
            if kind in ("Rep0", "Respondent0", "Sub0", "Pull0"):
                check(receive(socket), body(size, 2), "message")
            if kind not in ("Sub0", "Pull0"):
                socket.send(body(size, 1))
            if kind in ("Pair0", "Pair1", "Bus0", "Req0", "Surveyor0"):
                check(receive(socket), body(size, 2), "message")
        stay()


def echo_raw(kind, role, url, count):
    """Sends messages back through a raw socket, whose headers lead them to where they came from."""
    with open_socket(kind, raw=True) as socket:
        assert socket.raw
        connect(socket, role, url)
        for _ in range(int(count)):
            socket.send_msg(socket.recv_msg())
        stay()


def echo(kind, role, url):
    """Sends messages back for ever."""
    with open_socket(kind, recv_timeout=-1) as socket:
        connect(socket, role, url)
        while True:
            socket.send(receive(socket))


def ask(kind, role, url, expected):
    """Asks once."""
    with open_socket(kind) as socket:
        connect(socket, role, url)
        socket.send(b"?")
        check(receive(socket), expected.encode(), "answer")
        stay()


def request(kind, url, *texts):
    """Asks each text of a peer that sends everything back."""
    with open_socket(kind, dial=url) as socket:
        for text in texts:
            socket.send(text.encode())
            check(receive(socket), text.encode(), "answer")
        stay()


def receive_all(kind, role, url, count):
    with open_socket(kind) as socket:
        connect(socket, role, url)
        for number in range(int(count)):
            check(receive(socket), body(number % 300, number), f"message {number}")
        stay()


def send_and_go(kind, role, url, count):
    """Sends all, waits to be told to go, and ends at once."""
    with open_socket(kind) as socket:
        connect(socket, role, url)
        for number in range(int(count)):
            socket.send(body(number % 300, number))
        say("sent")
        sys.stdin.readline()
        # nng has no way to wait until it has written what it took, and drops the rest when it closes.
        time.sleep(0.2)


def ask_from_contexts(url, count):
    """Has many requests outstanding at the same time on one socket."""

    async def ask(socket, number):
        with socket.new_context() as context:
            await context.asend(f"request {number}".encode())
            check(await context.arecv(), f"answer {number}".encode(), "answer")

    async def ask_all():
        with open_socket("Req0", dial=url) as socket:
            await asyncio.gather(*(ask(socket, number) for number in range(int(count))))

    asyncio.run(ask_all())
    stay()


def answer_from_contexts(url, count):
    """Holds many requests at the same time, and answers the last one first."""
    with open_socket("Rep0") as socket:
        connect(socket, "listen", url)
        held = []
        for _ in range(int(count)):
            context = socket.new_context()
            held.append((context, context.recv()))
        for context, question in reversed(held):
            context.send(question.replace(b"request", b"answer"))
        stay()


def survey_from_contexts(url, count):
    """Makes several surveys at the same time and reads the answers of the last one first."""
    with open_socket("Surveyor0") as socket:
        connect(socket, "dial", url)
        contexts = [socket.new_context() for _ in range(int(count))]
        for number, context in enumerate(contexts):
            context.send(f"survey {number}".encode())
        for number, context in reversed(list(enumerate(contexts))):
            check(context.recv(), f"answer {number}".encode(), "answer")
        stay()


def hub(url, count):
    """A polyamorous pair that answers each of its peers by name."""
    with open_socket("Pair1", polyamorous=True) as socket:
        socket.listen(url)
        say("listening")
        held = [socket.recv_msg() for _ in range(int(count))]
        for message in reversed(held):
            message.pipe.send(b"hello " + message.bytes)
        stay()


def survey_in_vain(url):
    """A survey without an answer times out; its answer does not belong to the next one."""
    with open_socket("Surveyor0", survey_time=200) as socket:
        connect(socket, "dial", url)
        socket.send(b"first")
        try:
            raise SystemExit(f"answered: {receive(socket)!r}")
        except pynng.Timeout:
            say("timed out")
        socket.survey_time = DEADLINE_MS
        socket.send(b"second")
        check(receive(socket), b"answer to second", "answer")
        stay()


def keep_silent(kind, url):
    """Receives and does not answer."""
    with open_socket(kind) as socket:
        connect(socket, "listen", url)
        receive(socket)
        stay()


def turn_away(kind, url, ttl):
    """Told to look, receives nothing for a while when its limit of hops is `ttl`, and then, with one more, something."""
    with open_socket(kind) as socket:
        socket.ttl_max = int(ttl)
        socket.recv_timeout = 300
        socket.dial(url)
        say("ready")
        sys.stdin.readline()
        try:
            raise SystemExit(f"got {receive(socket)!r} after too many hops")
        except pynng.Timeout:
            pass
        socket.ttl_max = int(ttl) + 1
        socket.recv_timeout = DEADLINE_MS
        say("nothing")
        message = receive(socket)
        if kind == "Rep0" or kind == "Respondent0":
            socket.send(message)
        check(message, b"second", "message")
        stay()


def speak(kind, url):
    """Sends "first" now and "second" when it is told to."""
    with open_socket(kind) as socket:
        connect(socket, "dial", url)
        socket.send(b"first")
        say("sent")
        sys.stdin.readline()
        socket.send(b"second")
        if kind == "Req0" or kind == "Surveyor0":
            check(receive(socket), b"second", "answer")
        stay()


def subscribe(url, topic, *expected):
    with open_socket("Sub0", topics=topic) as socket:
        connect(socket, "dial", url)
        for text in expected:
            check(receive(socket), text.encode(), "message")
        stay()


def refused(url):
    """Dials a peer of a protocol that does not fit, which is turned away."""
    removed = threading.Event()
    with open_socket("Pair0") as socket:
        socket.add_post_pipe_remove_cb(lambda pipe: removed.set())
        try:
            socket.dial(url, block=True)
        except pynng.NNGException:
            removed.set()
        if not removed.wait(DEADLINE_MS / 1000):
            raise SystemExit("the connection was kept")
    say("done")


def dial_in_vain(url):
    """Tells with what error dialing fails."""
    with open_socket("Push0") as socket:
        secure(socket, "dial")
        try:
            socket.dial(url, block=True)
        except pynng.NNGException as error:
            say(type(error).__name__)
        else:
            # Under TLS 1.3 a client is done before its certificate is looked at.
            say("connected")


def listen_in_vain(url):
    """Listens, and tells if somebody comes."""
    with open_socket("Pull0") as socket:
        socket.add_post_pipe_connect_cb(lambda pipe: say("connected"))
        secure(socket, "listen")
        socket.listen(url)
        say("listening")
        threading.Event().wait()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
