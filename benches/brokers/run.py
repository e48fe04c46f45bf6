#!/usr/bin/env python3
"""Measures wirebird's broker beside others. See README.md."""

import argparse
import fnmatch
import json
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# How to build, take turns, judge and write is the same there.
sys.path.append(str(HERE.parent / "compare"))

import document
import report
from runner import Failure, Outcome, cargo_build, compile_c
from servers import PACKAGES, SERVERS, find
from suite import CASES, BrokerCase
from turns import Turns


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--case", action="append", metavar="PATTERN", help="only cases whose name matches (shell pattern); repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--quick", action="store_true", help="3 short alternations: to try things, not for figures")
    parser.add_argument("--alternations", type=int, metavar="N", help="turns of each peer (default 5)")
    parser.add_argument("--disk", type=Path, default=HERE / "results", metavar="DIR", help="where durable messages go")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "latest.json", metavar="PATH")
    parser.add_argument("--write-docs", action="store_true", help="write docs/broker-performance.md")
    options = parser.parse_args()
    if options.alternations is not None and options.alternations < 1:
        parser.error("--alternations: at least 1")
    return options


def chosen_cases(options: argparse.Namespace) -> list[BrokerCase]:
    patterns = options.case or ["*"]
    return [c for c in CASES if any(fnmatch.fnmatchcase(c.name, p) for p in patterns)]


def programs(cases: list[BrokerCase], directory: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """What is there, and why the rest is not. Without our own there is nothing to measure."""
    there = {
        "wirebird": cargo_build("../..")["wirebird"],
        "driver": cargo_build("../brokers/driver")["brokers-driver"],
    }
    missing: dict[str, str] = {}
    peers = {peer for case in cases for peer in case.peers}
    servers = {SERVERS[peer] for peer in peers if peer in SERVERS}
    for name in ["raw", *sorted(servers & PACKAGES.keys())]:
        try:
            there[name] = compile_c("raw", directory) if name == "raw" else find(name)
        except Failure as failure:
            missing[name] = str(failure)
    return there, missing


def main() -> int:
    # What was started is stopped then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = arguments()
    cases = chosen_cases(options)
    if options.list:
        for case in cases:
            print(f"{case.name:24} {case.title}")
        return 0
    if not cases:
        sys.exit("no such case; see --list")
    command = shlex.join(["python3", "benches/brokers/run.py", *sys.argv[1:]])
    options.disk.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="brokers-") as name:
        directory = Path(name)
        try:
            there, missing = programs(cases, directory)
        except Failure as failure:
            sys.exit(str(failure))
        for peer, why in missing.items():
            print(f"{peer}: left out: {why}", file=sys.stderr)
        turns = Turns(
            there,
            directory,
            options.disk,
            subprocess.run([there["wirebird"], "broker", "--help"], capture_output=True, text=True).stdout,
            seconds=0.1 if options.quick else 0.4,
            alternations=options.alternations or (3 if options.quick else 5),
        )
        facts = document.facts(ROOT, list(there), options.disk)
        print("\n".join(f"{key}: {value}" for key, value in facts.items()))
        try:
            for case in cases:
                if why := turns.why_not(case):
                    print(f"\n{case.title}  [{case.name}]\n  skipped: {why}")
                    missing[case.name] = why
                    continue
                outcome = turns.measure(case, list(case.peers))
                outcomes[case.name] = outcome
                report.show(outcome, outcomes)
                sys.stdout.flush()
        except KeyboardInterrupt:
            print("\ninterrupted; what there is so far follows")
    print(f"\n{report.summary(outcomes)}")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report.as_json(outcomes, facts, missing, command), indent=1))
    if options.write_docs:
        document.write(ROOT / "docs" / "broker-performance.md", outcomes, facts, missing, command)
    failed = any(o.failures for o in outcomes.values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
