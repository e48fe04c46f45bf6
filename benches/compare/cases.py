"""What is measured, and the bars that wirebird has to meet."""

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB

LIBRARIES = ("nng", "zmq", "nanomsg")
ALL = ("wirebird", *LIBRARIES, "raw")
NO_ZMQ = ("wirebird", "nng", "nanomsg")
# wirebird without its async forms, which an async case compares with; and async libraries.
BLOCKING = "blocking"
ASYNC_LIBRARIES = ("zeromq", "omq", "omq-exclusive")


@dataclass(frozen=True)
class Bar:
    """wirebird's figure divided by the other one is held against `factor`.

    `against` is a peer, "best" (of the libraries), "case:NAME" (wirebird in another case) or "limit" (the figure
    itself is held against `factor`). Whether more or less is wanted depends on the metric.
    """

    against: str
    factor: float
    metric: str = "value"
    beyond: bool = False


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    pattern: str
    transport: str
    size: int
    # What `value` is: "round trip", "messages", "connections" or the name of a field of the peers' results.
    figure: str
    unit: str
    bars: tuple[Bar, ...] = ()
    peers: tuple[str, ...] = ALL
    connections: int = 1
    spin: bool = True
    # Fixed number of messages; None to calibrate.
    count: int | None = None
    sweep: bool = False
    others: tuple[str, ...] = field(default=())

    @property
    def asynchronous(self) -> bool:
        """Whether wirebird takes part with its async forms."""
        return self.pattern.startswith("async-")

    def higher_is_better(self, metric: str) -> bool:
        return metric == "value" and self.figure in ("messages", "connections")


def size_text(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def size_tag(size: int) -> str:
    return size_text(size).replace(" ", "").replace("iB", "").replace("B", "").lower()


PATTERNS = {"pair": "pair", "reqrep": "req/rep", "pushpull": "push/pull"}


def round_trips() -> list[Case]:
    cases = []
    for spin in (True, False):
        for pattern in ("pair", "reqrep"):
            for transport in ("ipc", "tcp"):
                bars = (
                    (Bar("nng", 1 / 8), Bar("zmq", 1 / 5), Bar("raw", 1.5, beyond=True))
                    if spin
                    else (Bar("nng", 0.6), Bar("zmq", 1.0), Bar("raw", 1.15, beyond=True))
                )
                off = "" if spin else ", spinning off"
                cases.append(
                    Case(
                        f"lat-{pattern}-{transport}{'' if spin else '-nospin'}",
                        f"round trip {PATTERNS[pattern]}, {transport}{off}",
                        f"{pattern}-lat",
                        transport,
                        64,
                        "round trip",
                        "us",
                        bars,
                        spin=spin,
                    )
                )
    return cases


def streams() -> list[Case]:
    large = (Bar("best", 1.0), Bar("raw", 1 / 1.1, beyond=True))
    bars = {
        64: (Bar("nng", 40), Bar("zmq", 2), Bar("raw", 0.5, beyond=True)),
        KIB: (Bar("nng", 10), Bar("zmq", 2), Bar("raw", 1 / 1.5, beyond=True)),
        64 * KIB: large,
        MIB: large,
    }
    cpu = Bar("zmq", 1.0, metric="cpu")
    return [
        Case(
            f"stream-{pattern}-{transport}-{size_tag(size)}",
            f"stream {PATTERNS[pattern]}, {transport}, {size_text(size)}",
            pattern,
            transport,
            size,
            "messages",
            "/s",
            (*bars[size], cpu),
        )
        for size in bars
        for pattern in ("pushpull", "pair")
        for transport in ("ipc", "tcp")
    ]


def asynchronous() -> list[Case]:
    cases = []
    for pattern in ("pair", "reqrep"):
        for transport in ("ipc", "tcp"):
            bars = [Bar(BLOCKING, 1.5), Bar("zeromq", 1.0), Bar("omq", 1.0)]
            peers = ["wirebird", BLOCKING, "zeromq", "omq"]
            if transport == "tcp":
                bars.append(Bar("omq-exclusive", 1.0, beyond=True))
                peers.append("omq-exclusive")
            cases.append(
                Case(
                    f"async-lat-{pattern}-{transport}",
                    f"async round trip {PATTERNS[pattern]}, {transport}",
                    f"async-{pattern}-lat",
                    transport,
                    64,
                    "round trip",
                    "us",
                    tuple(bars),
                    tuple(peers),
                    spin=False,
                )
            )
    for size in (64, KIB):
        for transport in ("ipc", "tcp"):
            cases.append(
                Case(
                    f"async-stream-{transport}-{size_tag(size)}",
                    f"async stream push/pull, {transport}, {size_text(size)}",
                    "async-pushpull",
                    transport,
                    size,
                    "messages",
                    "/s",
                    (Bar(BLOCKING, 0.7), Bar("zeromq", 1.0), Bar("omq", 1.0)),
                    ("wirebird", BLOCKING, "zeromq", "omq"),
                )
            )
    return cases


def inproc() -> list[Case]:
    cases = []
    for pattern in ("pair", "reqrep"):
        cases.append(
            Case(
                f"inproc-lat-{pattern}",
                f"round trip {PATTERNS[pattern]}, inproc",
                f"{pattern}-lat",
                "inproc",
                64,
                "round trip",
                "us",
                (Bar("nng", 1 / 20), Bar("zmq", 1 / 8), Bar("raw", 1.5, beyond=True)),
            )
        )
    for pattern in ("pushpull", "pair"):
        cases.append(
            Case(
                f"inproc-stream-{pattern}",
                f"stream {PATTERNS[pattern]}, inproc",
                pattern,
                "inproc",
                64,
                "messages",
                "/s",
                (Bar("nng", 40), Bar("zmq", 3), Bar("raw", 1 / 1.5, beyond=True), Bar("zmq", 1.0, metric="cpu")),
            )
        )
    return cases


def fans() -> list[Case]:
    bars = (Bar("nng", 10), Bar("zmq", 1.5))
    cases = []
    for transport in ("ipc", "tcp"):
        for n in (1, 8, 64):
            cases.append(
                Case(
                    f"pub-{n}-{transport}",
                    f"pub to {n} sub, {transport}, deliveries",
                    "pubsub",
                    transport,
                    64,
                    "messages",
                    "/s",
                    bars,
                    connections=n,
                    others=("lost",),
                )
            )
        cases.append(
            Case(
                f"push-64-{transport}",
                f"64 push to 1 pull, {transport}",
                "fanin",
                transport,
                64,
                "messages",
                "/s",
                bars,
                connections=64,
            )
        )
    return cases


def requests() -> list[Case]:
    cases = []
    for transport in ("ipc", "tcp"):
        for n in (1, 10, 100):
            bars = [Bar("nng", 3), Bar("raw", 1 / 1.3, beyond=True)]
            if n == 100:
                # "Flat or rising", less the noise.
                bars.insert(1, Bar(f"case:req-10-{transport}", 0.95))
            cases.append(
                Case(
                    f"req-{n}-{transport}",
                    f"{n} req to 1 rep, {transport}, 5 KiB and empty",
                    "clients",
                    transport,
                    5 * KIB,
                    "messages",
                    "/s",
                    tuple(bars),
                    connections=n,
                )
            )
    return cases


def the_rest() -> list[Case]:
    cases = []
    for transport in ("ipc", "tcp"):
        cases.append(
            Case(
                f"survey-64-{transport}",
                f"survey round of 64 respondents, {transport}",
                "survey",
                transport,
                64,
                "round trip",
                "us",
                (Bar("nng", 1 / 3),),
                (*NO_ZMQ, "raw"),
                connections=64,
            )
        )
        cases.append(
            Case(
                f"connect-{transport}",
                f"connect() to first reply, {transport}",
                "connect",
                transport,
                64,
                "p50",
                "us",
                (Bar("nng", 1.0),),
                count=100,
                others=("p99",),
            )
        )
        cases.append(
            Case(
                f"loaded-{transport}",
                f"delay at half of nng's stream rate, {transport}",
                "loaded",
                transport,
                64,
                "p50",
                "us",
                tuple(Bar(peer, 1.0, metric) for metric in ("value", "p99", "p999") for peer in ("nng", "zmq")),
                ("wirebird", *LIBRARIES),
                others=("p99", "p999"),
            )
        )
    cases += [
        Case(
            "accept-1000",
            "1,000 connections accepted, tcp",
            "accept",
            "tcp",
            0,
            "connections",
            "/s",
            (Bar("nng", 1.0),),
            connections=1000,
            count=1,
        ),
        Case(
            "idle-1000",
            "heap per idle connection, tcp",
            "idle",
            "tcp",
            0,
            "heap_per_pipe",
            "B",
            (
                Bar("limit", 4096),
                Bar("limit", 0, "switches"),
                Bar("limit", 1000, "cpu_us"),
            ),
            NO_ZMQ,
            connections=1000,
            count=1,
            others=("switches", "cpu_us", "threads"),
        ),
        Case(
            "threads-100",
            "threads of 100 sockets beyond the program's own",
            "threads",
            "ipc",
            0,
            "threads",
            "",
            (Bar("limit", 2),),
            ("wirebird", *LIBRARIES),
            connections=100,
            count=1,
        ),
    ]
    return cases


# Patterns that connect, ask once and close, one time after the other.
CONNECTING = {"handshakes": "full TLS handshakes", "reconnects": "TLS handshakes that may resume"}


def web_and_tls() -> list[Case]:
    """Beside nng only: libzmq and nanomsg have no TLS, libzmq no SP over WebSocket."""
    peers = ("wirebird", "nng")
    cases = []
    for tag, transport in (("ws", "ws"), ("tls", "tls+tcp")):
        for spin in (True, False):
            for pattern in ("pair", "reqrep"):
                cases.append(
                    Case(
                        f"{tag}-lat-{pattern}{'' if spin else '-nospin'}",
                        f"round trip {PATTERNS[pattern]}, {transport}{'' if spin else ', spinning off'}",
                        f"{pattern}-lat",
                        transport,
                        64,
                        "round trip",
                        "us",
                        (Bar("nng", 0.5),),
                        peers,
                        spin=spin,
                    )
                )
        for size, factor in ((64, 5), (64 * KIB, 1), (MIB, 1)):
            for pattern in ("pushpull", "pair"):
                cases.append(
                    Case(
                        f"{tag}-stream-{pattern}-{size_tag(size)}",
                        f"stream {PATTERNS[pattern]}, {transport}, {size_text(size)}",
                        pattern,
                        transport,
                        size,
                        "messages",
                        "/s",
                        (Bar("nng", factor), Bar("nng", 1.0, metric="cpu")),
                        peers,
                    )
                )
    for pattern, title in CONNECTING.items():
        cases.append(
            Case(f"tls-{pattern}", title, pattern, "tls+tcp", 64, "messages", "/s", (Bar("nng", 1.0),), peers)
        )
    return cases


SWEEP_SIZES = (8, 64, 512, 4 * KIB, 32 * KIB, 256 * KIB, 2 * MIB, 16 * MIB)


def sweeps() -> list[Case]:
    """The points of the plots; no bars."""
    kinds = (("lat", "pair-lat", "round trip", "us"), ("thr", "pushpull", "messages", "/s"))
    return [
        Case(
            f"sweep-{kind}-{transport}-{size_tag(size)}",
            f"{'round trip pair' if kind == 'lat' else 'stream push/pull'}, {transport}, {size_text(size)}",
            pattern,
            transport,
            size,
            figure,
            unit,
            sweep=True,
        )
        for kind, pattern, figure, unit in kinds
        for transport in ("ipc", "tcp")
        for size in SWEEP_SIZES
    ]


CASES = [
    *round_trips(),
    *streams(),
    *inproc(),
    *fans(),
    *requests(),
    *the_rest(),
    *web_and_tls(),
    *asynchronous(),
    *sweeps(),
]
