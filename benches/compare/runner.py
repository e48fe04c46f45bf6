"""Builds the peers, runs them in alternation, and takes medians."""

import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import ASYNC_LIBRARIES, BLOCKING, CASES, CONNECTING, LIBRARIES, Bar, Case

HERE = Path(__file__).resolve().parent
PACKAGES = {"nng": "libnng-dev", "zmq": "libzmq3-dev", "nanomsg": "libnanomsg-dev", "raw": "libc6-dev"}
HEADERS = {"nng": "nng/nng.h", "zmq": "zmq.h", "nanomsg": "nanomsg/nn.h", "raw": "sys/epoll.h"}
# By peer, the program in rust-peers. ASYNC is wirebird's with the async forms.
ASYNC = "async"
RUST_PEERS = {ASYNC: "peer-wirebird", **{peer: f"peer-{peer}" for peer in ASYNC_LIBRARIES}}


class Failure(Exception):
    """A run that did not give a figure."""


# Building.


def cargo_build(crate: str) -> dict[str, Path]:
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics"]
    built = subprocess.run(
        [*command, "--manifest-path", HERE / crate / "Cargo.toml"], stdout=subprocess.PIPE, text=True
    )
    if built.returncode:
        raise Failure(f"cannot build benches/compare/{crate}")
    messages = (json.loads(line) for line in built.stdout.splitlines() if line.startswith("{"))
    return {m["target"]["name"]: Path(m["executable"]) for m in messages if m.get("executable")}


def compile_c(peer: str, directory: Path) -> Path:
    compiler = os.environ.get("CC", "cc")
    if not shutil.which(compiler):
        raise Failure("no C compiler; apt install gcc")
    probe = subprocess.run(
        [compiler, "-E", "-x", "c", "-"], input=f"#include <{HEADERS[peer]}>\n", text=True, capture_output=True
    )
    if probe.returncode:
        raise Failure(f"{HEADERS[peer]} is missing; apt install {PACKAGES[peer]}")
    program = directory / peer
    library = [] if peer == "raw" else [f"-l{peer}"]
    command = [compiler, "-std=gnu11", "-O3", "-Wall", "-Wno-unused-function", "-o", program]
    built = subprocess.run(
        [*command, HERE / "peers" / f"{peer}.c", *library, "-lpthread"], capture_output=True, text=True
    )
    if built.returncode:
        raise Failure(f"cannot compile peers/{peer}.c: {built.stderr.strip()}")
    return program


def build(peers: list[str], directory: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """The programs, and why those that are missing are."""
    programs: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for peer in peers:
        try:
            if peer == "wirebird":
                programs[peer] = cargo_build("wirebird")["compare-wirebird"]
            elif peer in RUST_PEERS:
                programs[peer] = cargo_build("rust-peers")[RUST_PEERS[peer]]
            else:
                programs[peer] = compile_c(peer, directory)
        except Failure as failure:
            missing[peer] = str(failure)
    return programs, missing


def program_of(case: Case, peer: str) -> str:
    """The key in `programs` of what plays a peer."""
    if peer == BLOCKING:
        return "wirebird"
    return ASYNC if peer == "wirebird" and case.asynchronous else peer


# One run.


def word_sum(size: int) -> int:
    """What the peers' checksum of one message is: its 64-bit little-endian words, added up."""
    period = bytes((i * 7 + 3) & 0xFF for i in range(256))

    def words(data: bytes) -> int:
        return sum(int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8))

    return (size // 256 * words(period) + words(period[: size % 256])) % 2**64


def make_certificates(directory: Path) -> None:
    """ca.pem, and server.pem with a certificate for localhost and its key."""
    if not shutil.which("openssl"):
        raise Failure("no openssl; apt install openssl")
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7"
    # A certificate of a CA cannot be a server's, too.
    commands = (
        f"{new} -keyout ca.key -out ca.pem -subj /CN=compare",
        f"{new} -keyout key.pem -out certificate.pem -subj /CN=localhost -CA ca.pem -CAkey ca.key"
        " -addext subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE",
    )
    for command in commands:
        made = subprocess.run(command.split(), cwd=directory, capture_output=True, text=True)
        if made.returncode:
            raise Failure(f"openssl: {made.stderr.strip()}")
    parts = ("certificate.pem", "key.pem")
    (directory / "server.pem").write_text("".join((directory / part).read_text() for part in parts))


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    def __init__(self, command: list[str], directory: Path) -> None:
        self.errors = tempfile.TemporaryFile("w+", dir=directory)
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def line(self) -> dict[str, Any]:
        text = self.popen.stdout.readline()
        if text:
            return json.loads(text)
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        raise Failure(" ".join(said[-2:]) if said else "ended early")

    def go(self) -> None:
        try:
            self.popen.stdin.write("go\n")
            self.popen.stdin.flush()
        except BrokenPipeError:
            pass

    def end(self) -> None:
        """Lets the process leave."""
        try:
            self.popen.stdin.close()
        except BrokenPipeError:
            pass

    def kill(self) -> None:
        # Only while it has not been waited for, so the id is still its own.
        if self.popen.returncode is None:
            self.popen.kill()

    def wait(self) -> float:
        """Processor seconds of the whole process."""
        _, status, usage = os.wait4(self.popen.pid, 0)
        self.popen.returncode = os.waitstatus_to_exitcode(status)
        self.popen.stdout.close()
        self.errors.close()
        return usage.ru_utime + usage.ru_stime


@dataclass
class Runner:
    programs: dict[str, Path]
    directory: Path
    target: float = 0.4
    alternations: int = 5
    timeout: float = 20.0
    runtime: str = "current"
    quick: bool = False
    _number: int = 0
    _rates: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def url(self, transport: str) -> str:
        self._number += 1
        if transport in ("tcp", "tls+tcp", "ws"):
            return f"{transport}://127.0.0.1:{free_port()}"
        if transport == "ipc":
            return f"ipc://{self.directory}/{self._number}"
        return f"inproc://compare-{self._number}"

    def command(self, case: Case, peer: str, role: str, url: str, count: int, rate: int) -> list[str]:
        program = self.programs[program_of(case, peer)]
        pattern = case.pattern
        options = ["--peers", str(case.connections), "--spin", "on" if case.spin else "off"]
        if peer == BLOCKING:
            pattern = pattern.removeprefix("async-")
        elif case.asynchronous:
            options += ["--runtime", self.runtime]
        if case.pattern == "loaded":
            options += ["--rate", str(rate)]
        if case.transport == "tls+tcp":
            options += self.encryption(role)
        if role == "drive" and case.pattern in ("accept", "idle"):
            # One client for all, so that only the end that accepts differs.
            program = self.programs["raw"]
            options += ["--proto", "zmq" if peer == "zmq" else "sp"]
        return [str(program), role, pattern, url, str(case.size), str(count), *options]

    def encryption(self, role: str) -> list[str]:
        certificate = self.directory / "server.pem"
        if not certificate.exists():
            make_certificates(self.directory)
        return ["--certificate", str(certificate)] if role == "serve" else ["--ca", str(self.directory / "ca.pem")]

    def run(self, case: Case, peer: str, count: int, rate: int = 0) -> dict[str, float]:
        """The metrics of one run."""
        url = self.url(case.transport)
        alone = case.transport == "inproc" or case.pattern == "threads"
        started: list[Process] = []
        late = threading.Event()

        def stop() -> None:
            late.set()
            for process in started:
                process.kill()

        timer = threading.Timer(self.timeout, stop)
        timer.start()
        try:
            for role in ("both",) if alone else ("serve", "drive"):
                process = Process(self.command(case, peer, role, url, count, rate), self.directory)
                started.append(process)
                if late.is_set():
                    process.kill()
                process.line()
            for process in started:
                process.go()
            # The end that measures ends first in some patterns and last in others; both say when they are done.
            results = [process.line() for process in reversed(started)]
            for process in started:
                process.end()
            cpu = sum(process.wait() for process in started)
        except (Failure, json.JSONDecodeError) as failure:
            raise Failure(f"no end after {self.timeout:.0f} s" if late.is_set() else str(failure)) from None
        finally:
            timer.cancel()
            for process in started:
                process.kill()
                if process.popen.returncode is None:
                    process.end()
                    process.wait()
        result = next((r for r in results if "seconds" in r), None)
        if result is None:
            raise Failure("no result")
        return self.metrics(case, peer, count, result, cpu)

    def metrics(self, case: Case, peer: str, count: int, result: dict[str, float], cpu: float) -> dict[str, float]:
        messages, seconds = result["messages"], result["seconds"]
        checksum = result.get("checksum", 0)
        # A survey round brings as many messages as there are respondents.
        bodies = int(messages) * (case.connections if case.pattern == "survey" else 1)
        if checksum and checksum != bodies * word_sum(case.size) % 2**64:
            raise Failure("wrong checksum")
        metrics = {"seconds": seconds, "messages": messages}
        if messages:
            metrics["cpu"] = cpu / messages * 1e6
        for name in ("p50", "p99", "p999", "max"):
            if name in result:
                metrics[name] = result[name] / 1000
        for name in ("heap_per_pipe", "switches", "cpu_us", "threads"):
            if name in result:
                metrics[name] = result[name]
        # The bare calls wait for the slowest subscriber and lose nothing.
        if case.pattern == "pubsub" and peer != "raw":
            metrics["lost"] = 1 - messages / (count * case.connections)
        if case.figure == "round trip" and messages:
            metrics["value"] = seconds / messages * 1e6
        elif case.figure in ("messages", "connections") and seconds:
            metrics["value"] = messages / seconds
        elif case.figure in metrics:
            metrics["value"] = metrics[case.figure]
        return metrics

    # How much to do.

    def calibrate(self, case: Case, peer: str, rate: int) -> int:
        if case.pattern == "loaded":
            return max(100, int(rate * self.target * 2))
        if case.count is not None:
            return case.count // 4 if self.quick and case.count > 1 else case.count
        streaming = case.figure == "messages" and case.pattern not in ("clients", *CONNECTING)
        count = max(4, min(5000 if streaming else 100, (4 << 20) // max(case.size, 1)))
        if case.connections > 1 and case.pattern == "survey":
            count = 10
        for _ in range(6):
            seconds = self.run(case, peer, count)["seconds"]
            if seconds > self.target / 8:
                break
            count = int(count * min(50, max(2, self.target / 5 / max(seconds, 1e-6))))
        return max(3, min(100_000_000, int(count * self.target / seconds)))

    def rate(self, transport: str) -> int:
        """Half of what nng streams, for the paced case."""
        if "nng" not in self.programs:
            return 50_000
        if transport not in self._rates:
            case = next(c for c in CASES if c.name == f"stream-pushpull-{transport}-64")
            count = self.calibrate(case, "nng", 0)
            rates = [self.run(case, "nng", count)["value"] for _ in range(3)]
            self._rates[transport] = int(statistics.median(rates) / 2)
        return self._rates[transport]

    # A case.

    def measure(self, case: Case, peers: list[str]) -> "Outcome":
        outcome = Outcome(case)
        counts: dict[str, int] = {}
        rate = 0
        for peer in case.peers:
            if peer not in peers or program_of(case, peer) not in self.programs:
                continue
            outcome.runs[peer] = []
            try:
                if case.pattern == "loaded":
                    rate = self.rate(case.transport)
                counts[peer] = self.calibrate(case, peer, rate)
            except Failure as failure:
                outcome.failures.setdefault(peer, []).append(f"calibration: {failure}")
        for _ in range(self.alternations):
            for peer, count in counts.items():
                failed = outcome.failures.get(peer, [])
                if len(failed) >= 2:
                    # Enough to know; the report says so.
                    outcome.runs[peer].append(None)
                    continue
                try:
                    outcome.runs[peer].append(self.run(case, peer, count, rate))
                except Failure as failure:
                    outcome.runs[peer].append(None)
                    outcome.failures.setdefault(peer, []).append(str(failure))
        outcome.counts = counts
        outcome.when = time.strftime("%Y-%m-%d %H:%M:%S")
        return outcome


# Results.


@dataclass
class Verdict:
    bar: Bar
    ratio: float
    met: bool


@dataclass
class Outcome:
    case: Case
    # Per peer, one entry per alternation; None where the run failed.
    runs: dict[str, list[dict[str, float] | None]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    when: str = ""

    def values(self, peer: str, metric: str = "value") -> list[float]:
        return [run[metric] for run in self.runs.get(peer, []) if run and metric in run]

    def median(self, peer: str, metric: str = "value") -> float | None:
        values = self.values(peer, metric)
        return statistics.median(values) if values else None

    def spread(self, peer: str) -> float | None:
        """Half the range of the runs, as a part of their median."""
        values = self.values(peer)
        middle = statistics.median(values) if len(values) > 1 else 0
        return (max(values) - min(values)) / 2 / middle if middle else None

    def ratio(self, peer: str, metric: str) -> float | None:
        """The median of the ratios of runs that followed each other."""
        pairs = zip(self.runs.get("wirebird", []), self.runs.get(peer, []), strict=False)
        ratios = [a[metric] / b[metric] for a, b in pairs if a and b and a.get(metric) is not None and b.get(metric)]
        return statistics.median(ratios) if ratios else None

    def best(self, metric: str) -> str | None:
        known = {peer: m for peer in LIBRARIES if (m := self.median(peer, metric)) is not None}
        pick = max if self.case.higher_is_better(metric) else min
        return pick(known, key=lambda peer: known[peer]) if known else None

    def verdicts(self, others: dict[str, "Outcome"]) -> list[Verdict]:
        verdicts = []
        for bar in self.case.bars:
            ratio: float | None
            if bar.against == "limit":
                ratio = self.median("wirebird", bar.metric)
            elif bar.against.startswith("case:"):
                other = others.get(bar.against.removeprefix("case:"))
                mine, theirs = self.median("wirebird"), other.median("wirebird") if other else None
                ratio = mine / theirs if mine and theirs else None
            else:
                peer = self.best(bar.metric) if bar.against == "best" else bar.against
                ratio = self.ratio(peer, bar.metric) if peer else None
            if ratio is not None:
                more = self.case.higher_is_better(bar.metric)
                verdicts.append(Verdict(bar, ratio, ratio >= bar.factor if more else ratio <= bar.factor))
        return verdicts

    def unmeasured(self, others: dict[str, "Outcome"]) -> list[Bar]:
        judged = [verdict.bar for verdict in self.verdicts(others)]
        return [bar for bar in self.case.bars if bar not in judged]
