"""docs/broker-performance.md, in the manner of the page about the libraries."""

from pathlib import Path

import report
from report import END, START, bar_text, digits, failure_text, kept_notes, output
from runner import Outcome
from servers import PACKAGES

report.METRICS.update({"added": "us added", "bare": "bare"})


def facts(root: Path, programs: list[str], disk: Path) -> dict[str, str]:
    """Machine and versions."""
    known = report.machine(root, [])
    filesystem = output("df", "--output=fstype", str(disk)).splitlines()
    known["disk"] = filesystem[-1] if filesystem else "unknown"
    for server, (_, package) in PACKAGES.items():
        if server in programs:
            known[server] = output("dpkg-query", "-W", "-f=${Version}", package) or "unknown"
    return known


SECTIONS = {
    "requests": (
        "Requests in a closed loop",
        "Each connection has one request under way, which is answered with nothing. `raw` does the same with bare system"
        " calls; `plain` is wirebird without encryption.",
    ),
    "latency": (
        "What the broker adds",
        "The p50 of a request that the broker answers, and of wirebird's own req and rep without a broker (`reqrep`).",
    ),
    "queue": (
        "Through a queue",
        "Each message counts once, when it was put in and taken out. `wirebird` is its client, which"
        " offers and polls several in one request; `wirebird-tasks` is the same client in tasks of tokio, each with one"
        " message at a time, and `wirebird-bare` the same protocol written by hand, as those of the others are. redis: LPUSH and RPOP."
        " `nats-request`: request and empty reply. `nats-group`: a queue group, with no acknowledgement.",
    ),
    "fan": ("Publish to many", "Deliveries per second, with nothing lost."),
    "idle": ("Idle clients", "Resident memory of the broker's process, all of it."),
    "durable": (
        "Durable messages",
        "Acknowledged messages per second; each producer has one under way. `raw` writes as many records as there are"
        " producers and syncs them.",
    ),
    "paced": (
        "Durable messages at half the load",
        "The p50 of an offer when half as many are made in a second as were acknowledged just before in a closed loop, at"
        " times that are set. `raw` is one write of 1 KB and its `fdatasync`. The bar compares the p99.",
    ),
    "function": (
        "Functions that workers serve",
        "The p50 of a call that a rep socket in a third process answers with nothing, by a client of the broker, and by a"
        " req socket at an endpoint (`req`). `reqrep` is the same req and rep without a broker.",
    ),
}


def write(
    path: Path, outcomes: dict[str, Outcome], known: dict[str, str], missing: dict[str, str], command: str
) -> None:
    lines = [
        "# Performance of the broker",
        "",
        "wirebird's broker beside redis, NATS, mosquitto and bare system calls. Written by:",
        "",
        f"    {command}",
        "",
        "Broker and clients are two processes on one machine. The peers take turns, and a figure is the median of its",
        "runs. The last column holds wirebird's figure divided by the peer's, as each bar asks, or for a limit the figure",
        "itself; bold is not met. See benches/brokers/README.md.",
        "",
        *(f"- {name}: {value}" for name, value in known.items()),
        *(f"- {name} left out: {why}" for name, why in missing.items()),
        "",
        report.summary(outcomes),
        "",
    ]
    for work, (title, text) in SECTIONS.items():
        shown = [o for o in outcomes.values() if o.case.pattern == work]
        if shown:
            lines += [f"## {title}", "", text, "", *report.table(shown, outcomes), ""]
    costs = [o for o in outcomes.values() if any(o.values(peer, "cpu") for peer in o.runs)]
    if costs:
        lines += ["## CPU seconds of the broker per million messages", "", *report.cpu_table(costs), ""]
    unmet = [
        f"- {o.case.title}: {bar_text(o, v.bar)}, is {digits(v.ratio)}"
        for o in outcomes.values()
        for v in o.verdicts(outcomes)
        if not v.met
    ]
    failures = [f"- {o.case.title}, {peer}: {failure_text(o, peer)}" for o in outcomes.values() for peer in o.failures]
    lines += ["## Bars that are not met", "", *(unmet or ["None."]), ""]
    lines += ["### Why", "", START, kept_notes(path), END, ""]
    lines += ["## Failed runs", "", *(failures or ["None."]), ""]
    path.write_text("\n".join(lines))
