"""A peer over TLS with nothing but Python's standard library, for tests/interop_tls.rs.

    tls_stranger.py ROLE PORT VERSION END SIZE...

It listens or dials on this machine with the files of the directory in WIREBIRD_TLS, speaks one VERSION of TLS, 1.2 or
1.3, and the connection header and frames of pair 0. It sends a message of each size, in one write, and expects one
back. Then it ends the stream by the word for it (END is "notify"), or just closes ("cut").
"""

import os
import socket
import ssl
import struct
import sys

HEADER = b"\0SP\0\0\x10\0\0"


def body(size, seed):
    """The same bytes as `body` in tests/peers/mod.rs."""
    rows = (bytes((at * 131 + (row + seed)) & 0xFF for at in range(256)) for row in range(256))
    block = b"".join(rows)
    return (block * (size // len(block) + 1))[:size]


def exactly(stream, count):
    parts = []
    while count:
        part = stream.recv(min(count, 1 << 20))
        if not part:
            raise SystemExit("the stream ended early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def secured(plain, role, version):
    directory = os.environ["WIREBIRD_TLS"]
    listening = role == "listen"
    context = ssl.SSLContext(
        ssl.PROTOCOL_TLS_SERVER if listening else ssl.PROTOCOL_TLS_CLIENT
    )
    context.minimum_version = context.maximum_version = {
        "1.2": ssl.TLSVersion.TLSv1_2,
        "1.3": ssl.TLSVersion.TLSv1_3,
    }[version]
    context.load_verify_locations(f"{directory}/ca.pem")
    context.load_cert_chain(f"{directory}/own.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    # The word for the end matters here.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    name = None if listening else "localhost"
    stream = context.wrap_socket(plain, server_side=listening, server_hostname=name)
    assert stream.version() == f"TLSv{version}", stream.version()
    return stream


def main(role, port, version, end, *sizes):
    if role == "listen":
        listener = socket.create_server(("127.0.0.1", int(port)))
        print("listening", flush=True)
        plain, _ = listener.accept()
    else:
        plain = socket.create_connection(("127.0.0.1", int(port)))
    plain.settimeout(10)
    stream = secured(plain, role, version)
    stream.sendall(HEADER)
    if exactly(stream, 8) != HEADER:
        raise SystemExit("a wrong header")
    for size in map(int, sizes):
        stream.sendall(struct.pack(">Q", size) + body(size, 1))
        (length,) = struct.unpack(">Q", exactly(stream, 8))
        if length != size or exactly(stream, length) != body(size, 2):
            raise SystemExit(f"a wrong message of {length} bytes")
    if end == "notify":
        # Waits for the other end's word, too: an error if there is none.
        stream.unwrap().close()
    else:
        os.close(stream.detach())
    print("done", flush=True)


main(*sys.argv[1:])
