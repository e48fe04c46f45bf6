"""The other side of tests/interop_websockets.rs: the package websockets, which knows nothing of this library.

    stranger.py FUNCTION URL

Each function fails with an error, or prints "done" as its last line.
"""

import sys

try:
    import websockets
    from websockets.sync.client import connect
    from websockets.sync.server import serve
except ImportError:
    sys.exit(
        f"websockets is not installed: {sys.executable} -m pip install websockets (./test.sh does it)"
    )

TIMEOUT = 10
ASK = bytes([0x80, 0, 0, 7])


def say(line):
    print(line, flush=True)


def client(url, kind, **options):
    protocols = [websockets.Subprotocol(f"{kind}.sp.nanomsg.org")]
    return connect(url, subprotocols=protocols, open_timeout=TIMEOUT, **options)


def expect(found, expected, what):
    if found != expected:
        raise SystemExit(f"{what}: {found!r} instead of {expected!r}")


def asks(url):
    """Requests of all sizes, in one frame and in many, with pings between; compression is offered."""
    with client(url, "rep", max_size=None) as socket:
        expect(socket.subprotocol, "rep.sp.nanomsg.org", "the protocol")
        expect(socket.response.headers.get("Sec-WebSocket-Extensions"), None, "extensions")
        for size in (0, 1, 125, 126, 65535, 65536, 3_000_000):
            body = bytes(at & 0xFF for at in range(size))
            socket.send(ASK + body)
            expect(socket.recv(timeout=TIMEOUT), ASK + body, f"reply of {size}")
            if not socket.ping(b"between").wait(TIMEOUT):
                raise SystemExit("no pong")
        parts = [ASK, b"in ", b"", b"many ", b"parts"]
        socket.send(parts)
        expect(socket.recv(timeout=TIMEOUT), b"".join(parts), "reply")
        socket.close(1000, "thanks")
        expect(socket.close_code, 1000, "the code that came back")


def closed_with(socket, code, *sent):
    try:
        for message in sent:
            socket.send(message)
        socket.recv(timeout=TIMEOUT)
    except websockets.ConnectionClosed as closed:
        expect(closed.rcvd and closed.rcvd.code, code, "the close code")
    else:
        raise SystemExit(f"no close with {code}")


def breaks_rules(url):
    """Text, and more than the listener takes."""
    with client(url, "rep") as socket:
        closed_with(socket, 1003, "text")
    with client(url, "rep") as socket:
        closed_with(socket, 1009, bytes(5_000))


def is_refused(url):
    """Everything that a listener answers with a status."""
    base = url.rsplit("/", 1)[0]
    for path, kind, status in [
        ("/nowhere", "rep", 404),
        (url.removeprefix(base), "req", 400),
        (url.removeprefix(base), "chat", 400),
    ]:
        try:
            client(base + path, kind)
        except websockets.InvalidStatus as refused:
            expect(refused.response.status_code, status, f"{path} {kind}")
        else:
            raise SystemExit(f"{path} {kind} is let in")
    try:
        connect(url)
    except websockets.InvalidStatus as refused:
        expect(refused.response.status_code, 400, "without a protocol")
    else:
        raise SystemExit("let in without a protocol")


def waits(url):
    """The other side closes in an orderly way."""
    with client(url, "push") as socket:
        say("ready")
        expect(socket.recv(timeout=TIMEOUT), b"last", "message")
        closed_with(socket, 1000)


def serves(_):
    """A server that sends everything back, and leaves when it is told so; it would compress."""

    def echo(socket):
        expect(socket.subprotocol, "pair.sp.nanomsg.org", "the protocol")
        for message in socket:
            if message == b"leave":
                socket.close(1001, "going away")
                return
            if not socket.ping().wait(TIMEOUT):
                raise SystemExit("no pong")
            # In two frames.
            socket.send([message[:1], message[1:]])

    def refuse(connection, request):
        if request.path == "/forbidden":
            return connection.respond(403, "no\n")
        return None

    protocols = [websockets.Subprotocol("pair.sp.nanomsg.org")]
    with serve(
        echo, "127.0.0.1", 0, subprotocols=protocols, process_request=refuse, max_size=None
    ) as server:
        say(f"port {server.socket.getsockname()[1]}")
        server.serve_forever()


if __name__ == "__main__":
    {
        one.__name__: one
        for one in (asks, breaks_rules, is_refused, waits, serves)
    }[sys.argv[1]](sys.argv[2])
    say("done")
