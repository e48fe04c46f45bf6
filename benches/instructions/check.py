#!/usr/bin/env python3
"""Counts the instructions of the hot paths and compares them with the stored figures.

    python3 benches/instructions/check.py [--update] [--keep DIR] [WORD]...

Exits with 1 when a path takes over 5 % more than stored. A change that is meant to cost that, or that gains, stores
its own figures with --update. WORDs choose paths by parts of their names; --keep leaves a profile of each for
callgrind_annotate.

What else the machine does hardly changes a count: they differ by less than 0.1 %. Compiler and target change them, so
those are stored, too. A copy by `rep movsb` counts as one instruction a byte: a long body seems dearer than it is.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STORED = HERE / "stored.json"
MARGIN = 0.05
# Messages or exchanges that are counted of each path.
OPERATIONS = 8192


def output(*command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def build():
    """Builds the program; returns where it is."""
    lines = output("cargo", "bench", "--no-run", "--bench", "instructions", "--message-format=json")
    artifacts = [json.loads(line) for line in lines.splitlines()]
    return next(a["executable"] for a in artifacts if a.get("target", {}).get("name") == "instructions")


def count(program, name, items, keep):
    """Instructions of one path for each message or exchange."""
    rounds = -(-OPERATIONS // items)
    profile = keep / f"callgrind.{name.replace(' ', '-')}"
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}"]
    # Counts in this function only, not what starts and ends the program, and not in other threads.
    valgrind.append("--toggle-collect=instructions::measured")
    run = subprocess.run([*valgrind, program, name, str(rounds)], capture_output=True, text=True, timeout=120)
    collected = re.search(r"Collected : ([1-9]\d*)", run.stderr)
    if run.returncode != 0 or collected is None:
        sys.exit(f"{name}: cannot be counted\n{run.stderr}")
    return round(int(collected[1]) / (rounds * items), 1)


def compiler():
    lines = dict(line.split(": ", 1) for line in output("rustc", "-vV").splitlines() if ": " in line)
    return {"rustc": lines["release"], "target": lines["host"]}


def main():
    parser = argparse.ArgumentParser(description="Counts the instructions of the hot paths.")
    parser.add_argument("--update", action="store_true", help="store the figures")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the profiles here")
    parser.add_argument("words", nargs="*", metavar="WORD", help="paths to count, by a part of their name")
    arguments = parser.parse_args()

    stored = json.loads(STORED.read_text()) if STORED.exists() else {"compiler": compiler(), "paths": {}}
    program, here = build(), compiler()
    if stored["compiler"] != here:
        print(f"NOTE: figures of {stored['compiler']} are compared with {here}: a change may be the compiler's.")

    paths = [line.split("\t") for line in output(program).splitlines()]
    counted = [path for path in paths if all(word in path[1] for word in arguments.words)]
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(os.cpu_count()) as pool:
        keep = arguments.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        counts = list(pool.map(lambda path: count(program, path[1], int(path[0]), keep), counted))

    worse = []
    print(f"{'instructions for each':24} {'stored':>10} {'now':>10} {'change':>9}")
    for (_, name), now in zip(counted, counts):
        before = stored["paths"].get(name)
        # A path that is not stored yet counts as worse, so that none is left out for ever.
        change = now / before - 1 if before else math.inf
        if change > MARGIN:
            worse.append(name)
        print(f"{name:24} {before or '-':>10} {now:>10} {f'{change:+.1%}' if before else 'new':>9}")

    if arguments.update:
        paths = stored["paths"] if arguments.words else {}
        figures = {name: now for (_, name), now in zip(counted, counts)}
        STORED.write_text(json.dumps({"compiler": here, "paths": paths | figures}, indent=2) + "\n")
    elif worse:
        sys.exit(f"over {MARGIN:.0%} more than stored: {', '.join(worse)}\nIf that is meant, store it with --update.")


if __name__ == "__main__":
    main()
