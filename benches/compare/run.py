#!/usr/bin/env python3
"""Measures wirebird beside other libraries. See README.md."""

import argparse
import fnmatch
import json
import shlex
import sys
import tempfile
from pathlib import Path

import plot
import report
from cases import ALL, ASYNC_LIBRARIES, BLOCKING, CASES, Case
from runner import ASYNC, HERE, Outcome, Runner, build, program_of

ROOT = HERE.parent.parent
OTHERS = (*ALL[1:], *ASYNC_LIBRARIES)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--case", action="append", metavar="PATTERN", help="only cases whose name matches (shell pattern); repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--quick", action="store_true", help="3 short alternations: to try things, not for figures")
    parser.add_argument("--alternations", type=int, metavar="N", help="turns of each peer (default 5)")
    parser.add_argument("--peers", metavar="A,B", help=f"peers besides wirebird (default {','.join(OTHERS)})")
    parser.add_argument(
        "--runtime", choices=("current", "multi"), default="current", help="kind of tokio runtime of the async cases"
    )
    parser.add_argument("--no-sweep", action="store_true", help="without the points of the plots")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "latest.json", metavar="PATH")
    parser.add_argument("--write-docs", action="store_true", help="write docs/performance.md")
    parser.add_argument("--plots", type=Path, default=ROOT / "docs" / "plots", metavar="DIR", help="where plots go")
    options = parser.parse_args()
    if options.alternations is not None and options.alternations < 1:
        parser.error("--alternations: at least 1")
    return options


def chosen_peers(options: argparse.Namespace, cases: list[Case]) -> list[str]:
    """Those that are wanted and take part in one of the cases."""
    peers = [p for p in options.peers.split(",") if p] if options.peers is not None else list(OTHERS)
    unknown = set(peers) - {*ALL, *OTHERS}
    if unknown:
        sys.exit(f"unknown peers: {', '.join(sorted(unknown))}")
    used = {peer for case in cases for peer in case.peers}
    return [peer for peer in dict.fromkeys(["wirebird", BLOCKING, *peers]) if peer in used]


def chosen_cases(options: argparse.Namespace) -> list[Case]:
    patterns = options.case or ["*"]
    cases = [c for c in CASES if any(fnmatch.fnmatchcase(c.name, p) for p in patterns)]
    return [c for c in cases if not (c.sweep and options.no_sweep)]


def write_plots(directory: Path, outcomes: dict[str, Outcome]) -> bool:
    kinds = {
        "lat": ("latency.svg", "Round trip, pair", "us"),
        "thr": ("throughput.svg", "Throughput, push/pull", "bytes/s"),
    }
    for kind, (name, title, unit) in kinds.items():
        panels = []
        for transport in ("ipc", "tcp"):
            lines: plot.Lines = {}
            for o in outcomes.values():
                if not o.case.name.startswith(f"sweep-{kind}-{transport}-"):
                    continue
                for peer in o.runs:
                    value = o.median(peer)
                    if value:
                        figure = value if kind == "lat" else value * o.case.size
                        lines.setdefault(peer, []).append((o.case.size, figure))
            panels.append(plot.Panel(transport, lines))
        if any(panel.lines for panel in panels):
            plot.draw(directory / name, f"{title} over message size", unit, panels)
    return all((directory / name).exists() for name, _, _ in kinds.values())


def main() -> int:
    options = arguments()
    cases = chosen_cases(options)
    if options.list:
        for case in cases:
            print(f"{case.name:28} {case.title}")
        return 0
    if not cases:
        sys.exit("no such case; see --list")
    wanted = chosen_peers(options, cases)
    command = shlex.join(["python3", "benches/compare/run.py", *sys.argv[1:]])
    with tempfile.TemporaryDirectory(prefix="compare-") as name:
        directory = Path(name)
        # `raw` also plays the client of some cases, so it is always built.
        needed = [program_of(case, peer) for peer in wanted for case in cases if peer in case.peers]
        programs, missing = build(list(dict.fromkeys([*needed, "raw"])), directory)
        for peer, why in missing.items():
            print(f"{peer}: left out: {why}", file=sys.stderr)
        if missing.keys() & {"wirebird", "raw"}:
            return 1
        runner = Runner(
            programs,
            directory,
            target=0.1 if options.quick else 0.4,
            alternations=options.alternations or (3 if options.quick else 5),
            runtime=options.runtime,
            quick=options.quick,
        )
        facts = report.machine(ROOT, list(programs))
        if ASYNC in programs:
            facts["tokio"] += f", {options.runtime}_thread"
        print("\n".join(f"{key}: {value}" for key, value in facts.items()))
        outcomes: dict[str, Outcome] = {}
        try:
            for case in cases:
                outcome = runner.measure(case, wanted)
                outcomes[case.name] = outcome
                report.show(outcome, outcomes)
                sys.stdout.flush()
        except KeyboardInterrupt:
            print("\ninterrupted; what there is so far follows")
    print(f"\n{report.summary(outcomes)}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report.as_json(outcomes, facts, missing, command), indent=1))
    plots = write_plots(options.plots, outcomes)
    if options.write_docs:
        report.write_docs(ROOT / "docs" / "performance.md", outcomes, facts, missing, command, plots)
    failed = any(o.failures for o in outcomes.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
