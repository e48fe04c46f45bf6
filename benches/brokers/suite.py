"""What is measured of the brokers, and the bars that wirebird has to meet."""

from dataclasses import dataclass

from cases import KIB, MIB, Bar, Case

KINDS = {
    "requests": ("messages", "/s"),
    "latency": ("p50", "us"),
    "queue": ("messages", "/s"),
    "fan": ("messages", "/s"),
    "idle": ("rss", "MB"),
    "durable": ("messages", "/s"),
    "paced": ("p50", "us"),
    "function": ("p50", "us"),
}


@dataclass(frozen=True)
class BrokerCase(Case):
    """A case of the comparison of libraries, whose `pattern` is the driver's work, and what only brokers have."""

    # What one connection has under way.
    window: int = 1
    # When what is durable has to be on the disk: "always" or "interval".
    sync: str = "always"
    seconds: float | None = None

    def higher_is_better(self, metric: str) -> bool:
        return metric in ("value", "bare") and self.figure == "messages"


def case(
    name: str,
    title: str,
    work: str,
    peers: tuple[str, ...],
    bars: tuple[Bar, ...],
    size: int = KIB,
    transport: str = "tcp",
    **rest: int | str | float,
) -> BrokerCase:
    figure, unit = KINDS[work]
    return BrokerCase(name, title, work, transport, size, figure, unit, bars, peers, **rest)


def closed_loops() -> list[BrokerCase]:
    cases = []
    for transport in ("tcp", "ipc"):
        for n in (1, 2, 10, 100):
            bars = [Bar("raw", 1 / 1.3)]
            if n == 1:
                bars.append(Bar("limit", 100_000))
            elif transport == "tcp":
                bars.append(Bar("limit", 130_000))
            if n == 100:
                # "Flat", less the noise.
                bars.append(Bar(f"case:requests-{transport}-10", 0.95))
            cases.append(
                case(
                    f"requests-{transport}-{n}",
                    f"requests of 5 KB, {transport}, {n} connection{'s' if n > 1 else ''}",
                    "requests",
                    ("wirebird", "raw"),
                    tuple(bars),
                    5 * KIB,
                    transport,
                    connections=n,
                )
            )
    for transport in ("tcp", "ipc"):
        for tag, text, size in (
            ("50k", "50 KB", 50 * KIB),
            ("500k", "500 KB", 500 * KIB),
            ("5m", "5 MB", 5 * MIB),
            ("50m", "50 MB", 50 * MIB),
        ):
            cases.append(
                case(
                    f"requests-{transport}-{tag}",
                    f"requests of {text}, {transport}",
                    "requests",
                    ("wirebird", "raw"),
                    (Bar("raw", 1 / 1.5),),
                    size,
                    transport,
                    seconds=0.8 if size > MIB else None,
                )
            )
    for transport in ("tcp", "ipc"):
        cases.append(
            case(
                f"requests-{transport}-encrypted",
                f"requests of 5 KB, {transport}, encrypted",
                "requests",
                ("wirebird", "plain"),
                (Bar("plain", 0.5),),
                5 * KIB,
                transport,
            )
        )
    return cases


def the_rest() -> list[BrokerCase]:
    cases = []
    for transport in ("tcp", "ipc"):
        cases.append(
            case(
                f"latency-{transport}",
                f"round trip of 64 B, {transport}, p50",
                "latency",
                ("wirebird", "reqrep"),
                (Bar("limit", 5, metric="added"),),
                64,
                transport,
            )
        )
    for n in (1, 50):
        cases.append(
            case(
                f"queue-{n}",
                f"1 KB through a queue, 16 at once, {n} connection{'s' if n > 1 else ''}",
                "queue",
                ("wirebird", "wirebird-tasks", "wirebird-bare", "redis", "nats-request", "nats-group"),
                tuple(
                    Bar(peer, factor, metric)
                    for metric in ("value", "bare")
                    for peer, factor in (("redis", 2), ("nats-request", 1), ("nats-group", 1))
                ),
                connections=n,
                window=16,
            )
        )
    for tag, text, size in (("64", "64 B", 64), ("1k", "1 KB", KIB)):
        cases.append(
            case(
                f"fan-100-{tag}",
                f"publish {text} to 100, deliveries",
                "fan",
                ("wirebird", "nats", "mosquitto"),
                (Bar("nats", 1), Bar("mosquitto", 1)),
                size,
                connections=100,
                window=32,
            )
        )
    cases.append(
        case(
            "idle-10000",
            "10,000 idle clients, resident memory",
            "idle",
            ("wirebird", "redis", "nats", "mosquitto"),
            (Bar("limit", 100),),
            connections=10_000,
        )
    )
    return cases


def durable() -> list[BrokerCase]:
    cases = []
    for n in (1, 8, 64):
        bars = [Bar("raw", 1 / 1.3)]
        if n == 64:
            bars.append(Bar("redis", 3))
        cases.append(
            case(
                f"durable-{n}",
                f"durable offers of 1 KB, {n} producer{'s' if n > 1 else ''}",
                "durable",
                # NATS has no such setting in Debian 12.
                ("wirebird", "redis", "raw"),
                tuple(bars),
                connections=n,
            )
        )
    cases.append(
        case(
            "durable-64-interval",
            "durable offers of 1 KB, 64 producers, synced now and then",
            "durable",
            ("wirebird", "redis", "nats"),
            (Bar("redis", 1), Bar("nats", 1)),
            connections=64,
            sync="interval",
        )
    )
    cases.append(
        case(
            "paced-64",
            "durable offers of 1 KB, 64 producers, half the load, p50",
            "paced",
            ("wirebird", "raw"),
            (Bar("raw", 2, metric="p99"),),
            connections=64,
            seconds=1.6,
        )
    )
    return cases


def functions() -> list[BrokerCase]:
    return [
        case(
            f"function-{transport}",
            f"call of a worker with 64 B, {transport}, p50",
            "function",
            ("wirebird", "req", "reqrep"),
            (),
            64,
            transport,
        )
        for transport in ("tcp", "ipc")
    ]


CASES = [*closed_loops(), *the_rest(), *functions(), *durable()]
