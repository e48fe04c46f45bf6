#!/usr/bin/env python3
"""Measures how long a broker takes to open a large log, beside reading its files. See README.md."""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "compare"))

from runner import Failure, cargo_build, free_port

PIECE = 1 << 20
MB = 1_000_000
# What a message has in memory and on the disk beside its payload, generously: to know whether there is room.
EXTRA = 700
PATIENCE = 600.0
# As in the driver.
QUEUE = "bench"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000_000, metavar="N", help="default 10,000,000")
    parser.add_argument("--size", type=int, default=1024, metavar="BYTES", help="of each, default 1024")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="default 3")
    parser.add_argument("--disk", type=Path, default=HERE / "results", metavar="DIR", help="default results/")
    parser.add_argument("--json", type=Path, default=HERE / "results" / "recovery.json", metavar="PATH")
    return parser.parse_args()


def check_room(options: argparse.Namespace) -> None:
    wanted = options.messages * (options.size + EXTRA)
    free = shutil.disk_usage(options.disk).free
    available = int(re.search(r"MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text())[1]) * 1024
    for what, room in (("disk", free), ("memory", available)):
        if room < wanted:
            sys.exit(f"{wanted / MB:.0f} MB of {what} are wanted, and {room / MB:.0f} MB are there")


def goes_first() -> None:
    """If memory runs out, this process is what should end."""
    Path("/proc/self/oom_score_adj").write_text("1000")


class Broker:
    """A broker that has opened its log."""

    def __init__(self, program: Path, data: Path, options: argparse.Namespace) -> None:
        self.program, self.url = program, f"tcp://127.0.0.1:{free_port()}"
        room = f"{options.messages * (options.size + EXTRA) // MB}MB"
        command = [program, "broker", "--listen", self.url, "--data-dir", data, "--log-sync", "none"]
        begun = time.monotonic()
        self.popen = subprocess.Popen(
            [*command, "--max-memory", room], stdout=subprocess.PIPE, text=True, preexec_fn=goes_first
        )
        for line in self.popen.stdout:
            if line.startswith("Ready"):
                break
        else:
            raise Failure("the broker has ended")
        self.opened = time.monotonic() - begun

    def ask(self, *words: str) -> str:
        command = [self.program, *words, "--url", self.url]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if asked.returncode:
            raise Failure(f"{words[0]}: {asked.stderr.strip()}")
        return asked.stdout

    def memory(self) -> dict[str, float]:
        """What it has in memory and had at most, and what its queues hold of that."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        figures = {
            name: int(re.search(rf"{key}:\s*(\d+) kB", status)[1]) * 1024 / MB
            for name, key in (("rss", "VmRSS"), ("most", "VmHWM"))
        }
        queue = json.loads(self.ask("queue", "status", QUEUE, "--json"))["data"]
        held = json.loads(self.ask("status", "--json"))["data"]["memory-held"]
        return figures | {"messages": queue["size"], "bytes": queue["bytes"] / MB, "held": held / MB}

    def stop(self) -> None:
        self.popen.terminate()
        self.popen.wait(PATIENCE)
        self.popen.stdout.close()


def read(files: list[Path]) -> None:
    buffer = bytearray(PIECE)
    for file in files:
        with file.open("rb", buffering=0) as opened:
            while opened.readinto(buffer):
                pass


def forget(files: list[Path]) -> None:
    """Has the system read the files from the disk the next time."""
    os.sync()
    for file in files:
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def fill(programs: dict[str, Path], data: Path, options: argparse.Namespace) -> dict[str, float]:
    broker = Broker(programs["wirebird"], data, options)
    try:
        room = options.messages * (options.size + EXTRA)
        making = ("--durable", "--capacity", str(options.messages), "--max-bytes", f"{room // MB}MB")
        broker.ask("queue", "create", QUEUE, *making)
        command = [programs["driver"], "wirebird-bare", "fill", broker.url, "--window", "256"]
        command += ["--count", str(options.messages), "--size", str(options.size)]
        subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
        return broker.memory()
    finally:
        broker.stop()


def open_once(program: Path, data: Path, options: argparse.Namespace) -> dict[str, float]:
    broker = Broker(program, data, options)
    try:
        return {"open": broker.opened} | broker.memory()
    finally:
        broker.stop()


def main() -> int:
    options = arguments()
    options.disk.mkdir(parents=True, exist_ok=True)
    check_room(options)
    try:
        programs = {
            "wirebird": cargo_build("../..")["wirebird"],
            "driver": cargo_build("../brokers/driver")["brokers-driver"],
        }
        with tempfile.TemporaryDirectory(prefix="recovery-", dir=options.disk) as name:
            data = Path(name)
            filled = fill(programs, data, options)
            print(f"filled: {filled}", flush=True)
            runs: dict[str, list[dict[str, float]]] = {"warm": [], "cold": []}
            for _ in range(options.runs):
                for state, known in runs.items():
                    files = sorted(data.glob("segment-*.wal"))
                    size = sum(file.stat().st_size for file in files)
                    check = [str(programs["wirebird"]), "wal", "check", str(data)]
                    works: dict[str, Callable[[], object]] = {
                        "read": lambda files=files: read(files),
                        "check": lambda check=check: subprocess.run(check, check=True, stdout=subprocess.DEVNULL),
                    }
                    run: dict[str, float] = {"files": size / MB, "load": os.getloadavg()[0]}
                    for what, work in works.items():
                        forget(files) if state == "cold" else read(files)
                        run[what] = timed(work)
                    forget(files) if state == "cold" else read(files)
                    run |= open_once(programs["wirebird"], data, options)
                    known.append(run)
                    print(f"{state}: {run}", flush=True)
    except Failure as failure:
        sys.exit(str(failure))
    for state, known in runs.items():
        print(state)
        for what in ("files", "read", "check", "open", "bytes", "held", "rss", "most", "load"):
            values = [run[what] for run in known]
            print(f"  {what:6} {statistics.median(values):10.2f}   {min(values):.2f} to {max(values):.2f}")
    options.json.write_text(json.dumps({"filled": filled, **runs}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
