"""The table: on the terminal, as JSON, and in docs/performance.md."""

import math
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

from cases import Bar
from runner import ASYNC, HERE, PACKAGES, Outcome

START, END = "<!-- notes: kept when the page is written again -->", "<!-- end of notes -->"
NO_NOTES = "None yet."
# What stands in the lock file of the async peers.
CRATES = {ASYNC: "tokio", "zeromq": "zeromq", "omq": "omq-tokio"}


# Machine and versions.


def output(*command: str, cwd: Path | None = None) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def crate_version(crate: str) -> str:
    lock = HERE / "rust-peers" / "Cargo.lock"
    found = re.search(rf'name = "{crate}"\nversion = "(.*)"', lock.read_text()) if lock.exists() else None
    return found[1] if found else "unknown"


def machine(root: Path, peers: list[str]) -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else []
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} x {names[0] if names else platform.machine()}",
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.2f} before the run",
        "wirebird": output("git", "describe", "--always", "--dirty", cwd=root),
        "rustc": output("rustc", "--version").removeprefix("rustc "),
    }
    for peer in peers:
        if peer in PACKAGES and peer != "raw":
            facts[peer] = output("dpkg-query", "-W", "-f=${Version}", PACKAGES[peer]) or "unknown"
        elif peer in CRATES:
            crate = CRATES[peer]
            facts[crate] = crate_version(crate)
    return facts


# Figures as text.


def figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "/s":
        for scale, name in ((1e6, "M"), (1e3, "k")):
            if value >= scale:
                return f"{digits(value / scale)} {name}/s"
    return f"{digits(value)} {unit}".rstrip()


def digits(value: float) -> str:
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{places}f}"


def factor_text(factor: float) -> str:
    if factor < 1:
        for part in (1.1, 1.3, 1.5, 2, 3, 5, 8, 20):
            if abs(factor - 1 / part) < 1e-9:
                return f"1/{part:g}"
    return f"{factor:g}"


METRICS = {
    "cpu": "CPU",
    "switches": "context switches in 2 s",
    "cpu_us": "CPU us in 2 s",
    "p99": "p99",
    "p999": "p99.9",
}


def bar_text(outcome: Outcome, bar: Bar) -> str:
    more = outcome.case.higher_is_better(bar.metric)
    words = "at least" if more else "at most"
    what = METRICS.get(bar.metric, "")
    if bar.against == "limit":
        text = f"{words} {bar.factor:g} {what}"
    else:
        whom = bar.against
        if whom == "best":
            whom = f"the best library ({outcome.best(bar.metric) or 'none'})"
        elif whom.startswith("case:"):
            whom = f"wirebird in {whom.removeprefix('case:')}"
        text = f"{what} {words} {factor_text(bar.factor)} of {whom}".strip()
    return f"{text} (beyond)" if bar.beyond else text.strip()


def extra(outcome: Outcome, peer: str) -> str:
    """Metrics beside the figure itself, for the terminal."""
    parts = []
    cpu = outcome.median(peer, "cpu")
    if cpu is not None and outcome.case.figure == "messages":
        parts.append(f"{digits(cpu)} CPU s/M")
    for name in outcome.case.others:
        value = outcome.median(peer, name)
        if value is not None:
            parts.append(f"{value:.1%} lost" if name == "lost" else f"{METRICS.get(name, name)} {digits(value)}")
    spread = outcome.spread(peer)
    if spread is not None:
        parts.append(f"+-{spread:.0%}")
    return ", ".join(parts)


def failure_text(outcome: Outcome, peer: str) -> str:
    """What went wrong, in one line; empty if nothing did."""
    errors = outcome.failures.get(peer, [])
    if not errors:
        return ""
    return f"{len(errors)} failed ({errors[-1]}), {len(outcome.values(peer))} good runs"


# The terminal.


def show(outcome: Outcome, others: dict[str, Outcome]) -> None:
    case = outcome.case
    print(f"\n{case.title}  [{case.name}]")
    for peer in outcome.runs:
        print(f"  {peer:13} {figure(outcome.median(peer), case.unit):>12}   {extra(outcome, peer)}".rstrip())
        if failure := failure_text(outcome, peer):
            print(f"  {'':13} FAILED: {failure}")
    for verdict in outcome.verdicts(others):
        print(
            f"    {'met' if verdict.met else 'NOT met':8} {bar_text(outcome, verdict.bar)}: {digits(verdict.ratio)}"
        )
    for bar in outcome.unmeasured(others):
        print(f"    not judged: {bar_text(outcome, bar)}")


def summary(outcomes: dict[str, Outcome]) -> str:
    verdicts = [(v.bar.beyond, v.met) for o in outcomes.values() for v in o.verdicts(outcomes)]
    failures = sum(len(errors) for o in outcomes.values() for errors in o.failures.values())

    def count(beyond: bool) -> str:
        chosen = [met for b, met in verdicts if b == beyond]
        return f"{sum(chosen)} of {len(chosen)}"

    unjudged = sum(len(o.unmeasured(outcomes)) for o in outcomes.values())
    text = f"Bars met: {count(False)}; beyond them: {count(True)}; failed runs: {failures}"
    return f"{text}; bars without a figure: {unjudged}." if unjudged else f"{text}."


# JSON.


def as_json(outcomes: dict[str, Outcome], facts: dict[str, str], missing: dict[str, str], command: str) -> dict[str, Any]:
    return {
        "command": command,
        "facts": facts,
        "missing": missing,
        "cases": [
            {
                "name": o.case.name,
                "title": o.case.title,
                "unit": o.case.unit,
                "size": o.case.size,
                "when": o.when,
                "peers": {
                    peer: {
                        "median": o.median(peer),
                        "count": o.counts.get(peer),
                        "runs": o.runs[peer],
                        "failures": o.failures.get(peer, []),
                    }
                    for peer in o.runs
                },
                "bars": [
                    {"bar": bar_text(o, v.bar), "ratio": v.ratio, "met": v.met, "beyond": v.bar.beyond}
                    for v in o.verdicts(outcomes)
                ],
                "not_judged": [bar_text(o, bar) for bar in o.unmeasured(outcomes)],
            }
            for o in outcomes.values()
        ],
    }


# docs/performance.md.


def cell(outcome: Outcome, peer: str) -> str:
    if peer not in outcome.runs:
        return ""
    text = figure(outcome.median(peer), outcome.case.unit)
    lost = outcome.median(peer, "lost")
    if lost is not None and lost >= 0.0005:
        text += f" ({lost:.0%} lost)"
    if "p999" in outcome.case.others and (p99 := outcome.median(peer, "p99")) is not None:
        text += f" / {digits(p99)} / {digits(outcome.median(peer, 'p999') or 0)}"
    errors = len(outcome.failures.get(peer, []))
    return f"{text} ({errors} failed)" if errors else text


def columns(outcomes: list[Outcome]) -> list[str]:
    return list(dict.fromkeys(peer for o in outcomes for peer in o.runs))


def table(outcomes: list[Outcome], every: dict[str, Outcome]) -> list[str]:
    peers = columns(outcomes)
    lines = ["| case | " + " | ".join(peers) + " | bars |", "|---" * (len(peers) + 2) + "|"]
    for o in outcomes:
        marks = []
        for v in o.verdicts(every):
            whom = {"best": o.best(v.bar.metric) or "best", "limit": ""}.get(v.bar.against, v.bar.against)
            whom = re.sub("^case:", "", whom)
            name = f"{METRICS.get(v.bar.metric, '')} {whom}".strip()
            mark = f"{name} {digits(v.ratio)}".strip()
            marks.append(mark if v.met else f"**{mark}**")
        marks += [f"{bar_text(o, bar)}: no figure" for bar in o.unmeasured(every)]
        lines.append(f"| {o.case.title} | " + " | ".join(cell(o, peer) for peer in peers) + f" | {', '.join(marks)} |")
    return lines


def cpu_table(outcomes: list[Outcome]) -> list[str]:
    outcomes = [o for o in outcomes if o.case.figure == "messages"]
    peers = columns(outcomes)
    lines = ["| case | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for o in outcomes:
        cells = (figure(o.median(peer, "cpu"), "") for peer in peers)
        lines.append(f"| {o.case.title} | " + " | ".join(cells) + " |")
    return lines if outcomes else []


def kept_notes(path: Path) -> str:
    text = path.read_text() if path.exists() else ""
    return text.split(START, 1)[1].split(END, 1)[0].strip() if START in text and END in text else NO_NOTES


def write_docs(
    path: Path, outcomes: dict[str, Outcome], facts: dict[str, str], missing: dict[str, str], command: str, plots: bool
) -> None:
    shown = [o for o in outcomes.values() if not o.case.sweep]
    blocking = [o for o in shown if not o.case.asynchronous]
    asynchronous = [o for o in shown if o.case.asynchronous]
    lines = [
        "# Performance",
        "",
        "wirebird beside nng, libzmq, nanomsg and bare system calls (`raw`). Written by:",
        "",
        f"    {command}",
        "",
        "Messages have 64 bytes unless said. Two processes except inproc, every received byte read and checked by its",
        "sum. The peers take turns, and a figure is the median of its runs. See benches/compare/README.md.",
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        *(f"- {peer} left out: {why}" for peer, why in missing.items()),
        "",
        summary(outcomes),
        "",
        "## Figures",
        "",
        "The last column holds wirebird's figure divided by the peer's, as each bar asks, or for a limit the figure",
        "itself; bold is not met. The cases under load give p50 / p99 / p99.9. Over tls+tcp each library has the ciphers it",
        "prefers; benches/compare/README.md names them.",
        "",
        *table(blocking, outcomes),
        "",
    ]
    if asynchronous:
        lines += [
            "### Async forms",
            "",
            "Both ends await in a task of tokio: wirebird, and the crates zeromq and omq-tokio (`omq`). `omq-exclusive` is",
            "omq-tokio's socket for one peer over tcp; `blocking` is wirebird's blocking form, in round trips with spinning",
            "turned off.",
            "",
            *table(asynchronous, outcomes),
            "",
        ]
    if plots:
        lines += ["![Round trip over message size](plots/latency.svg)", ""]
        lines += ["![Throughput over message size](plots/throughput.svg)", ""]
        lines += ["The plots are drawn by `python3 benches/compare/run.py --quick --case 'sweep-*'`.", ""]
    lines += ["## CPU seconds per million messages, both processes", ""]
    for rows in filter(None, map(cpu_table, (blocking, asynchronous))):
        lines += [*rows, ""]
    lines += ["## Bars that are not met", ""]
    unmet = [
        f"- {o.case.title}: {bar_text(o, v.bar)}, is {digits(v.ratio)}"
        for o in shown
        for v in o.verdicts(outcomes)
        if not v.met
    ]
    lines += [*(unmet or ["None."]), "", "### Why", "", START, kept_notes(path), END, ""]
    failures = [
        f"- {o.case.title}, {peer}: {failure_text(o, peer)}" for o in outcomes.values() for peer in o.failures
    ]
    lines += ["## Failed runs", "", *(failures or ["None."]), ""]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
