"""Runs the brokers in alternation."""

import json
import resource
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from cases import KIB
from runner import Failure, Outcome, Process, free_port
from servers import DURABLE, SERVERS, Server
from suite import BrokerCase

# Descriptors that a process has beside those of its clients.
OWN_DESCRIPTORS = 100
# From longer requests on, `raw` blocks: it only wastes time to spin while so much is copied.
SPUN = 64 * KIB


def raise_limits() -> int:
    """How many descriptors a process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass
class Turns:
    programs: dict[str, Path]
    directory: Path
    # A directory on the disk that durable messages go to.
    disk: Path
    # What `wirebird broker --help` says.
    options: str
    seconds: float = 0.4
    alternations: int = 5
    timeout: float = 30.0
    descriptors: int = field(default_factory=raise_limits)
    _number: int = 0
    _counts: dict[str, int] = field(default_factory=dict)

    def why_not(self, case: BrokerCase) -> str | None:
        """Why a case cannot be run here."""
        if case.pattern in DURABLE:
            if "--data-dir" not in self.options:
                return "wirebird broker has no --data-dir"
        if case.connections + OWN_DESCRIPTORS > self.descriptors:
            return f"a process may have {self.descriptors} descriptors only"
        return None

    def has(self, case: BrokerCase, peer: str) -> bool:
        if peer == "raw":
            return case.pattern in DURABLE or "raw" in self.programs
        return peer == "reqrep" or SERVERS[peer] in self.programs

    def measure(self, case: BrokerCase, peers: list[str]) -> Outcome:
        outcome = Outcome(case, runs={peer: [] for peer in case.peers if peer in peers and self.has(case, peer)})
        for _ in range(self.alternations):
            for peer, runs in outcome.runs.items():
                failed = outcome.failures.get(peer, [])
                # Two are enough to know; the report says so.
                metrics = None
                if len(failed) < 2:
                    try:
                        metrics = self.run(case, peer)
                    except Failure as failure:
                        outcome.failures.setdefault(peer, []).append(str(failure))
                runs.append(metrics)
        compare_within(outcome)
        outcome.when = time.strftime("%Y-%m-%d %H:%M:%S")
        return outcome

    # One run.

    def run(self, case: BrokerCase, peer: str) -> dict[str, float]:
        """The metrics of one run, with a new broker."""
        with (
            tempfile.TemporaryDirectory(dir=self.directory) as place,
            tempfile.TemporaryDirectory(prefix="data-", dir=self.disk) as data,
        ):
            if peer == "raw" and case.pattern in DURABLE:
                return self.drive(case, peer, data, None)
            if peer == "raw":
                return self.raw(case, Path(place))
            server = Server(self.programs, case, peer, Path(place), Path(data))
            try:
                address = server.calls if peer == "req" else server.address
                metrics = self.drive(case, peer, address, server)
                server.must_live()
                return metrics
            finally:
                server.stop()

    def drive(self, case: BrokerCase, peer: str, address: str, server: Server | None) -> dict[str, float]:
        work = {"latency": "requests", "paced": "durable"}.get(case.pattern, case.pattern)
        # What takes part twice in a case differs by an option only.
        name = "wirebird" if peer == "plain" else peer
        command = [str(self.programs["driver"]), name, work, address, "--size", str(case.size)]
        command += ["--seconds", str((case.seconds or 0.4) / 0.4 * self.seconds)]
        command += ["--connections", str(case.connections), "--window", str(case.window)]
        if case.name.endswith("-encrypted") and peer == "wirebird":
            command.append("--encrypt")
        if case.pattern == "paced" and peer == "raw":
            # One at a time.
            command += ["--connections", "1"]
        elif case.pattern == "paced":
            (most,) = self.together([command], server)
            command += ["--rate", str(most["operations"] / most["seconds"] / 2)]
        before = server.cpu() if server else 0.0
        (result,) = self.together([command], server)
        if case.figure == "rss":
            return {"value": result["rss"]}
        if not result["operations"]:
            raise Failure("no round came to its end")
        if case.figure == "p50":
            return {"value": result["p50"] / 1000, "p99": result["p99"] / 1000}
        metrics = {"value": result["operations"] / result["seconds"]}
        if server:
            metrics["cpu"] = (result["cpu"] - before) / result["all"] * 1e6
        return metrics

    def raw(self, case: BrokerCase, place: Path) -> dict[str, float]:
        """Requests over bare system calls. They are counted, not timed: a short run tells how many are wanted."""
        seconds = (case.seconds or 0.4) / 0.4 * self.seconds
        if case.name not in self._counts:
            count, took = max(5, min(20_000, (256 << 20) // case.size)), 0.0
            while took < seconds / 10:
                took = self.raw_run(case, place, count)
                known, count = count, count * 4
            self._counts[case.name] = max(5, int(known * seconds / took))
        count = self._counts[case.name]
        return {"value": count / self.raw_run(case, place, count)}

    def raw_run(self, case: BrokerCase, place: Path, count: int) -> float:
        """How long `count` requests take, in seconds for each that was really made."""
        self._number += 1
        address = f"ipc://{place}/raw-{self._number}" if case.transport == "ipc" else f"tcp://127.0.0.1:{free_port()}"
        rest = ["clients", address, str(case.size), str(count), "--peers", str(case.connections)]
        rest += ["--spin", "on" if case.size <= SPUN else "off"]
        program = str(self.programs["raw"])
        results = self.together([[program, "serve", *rest], [program, "drive", *rest]], None, go=True)
        result = next(r for r in results if "seconds" in r)
        return result["seconds"] / result["messages"] * count

    def together(self, commands: list[list[str]], server: Server | None, go: bool = False) -> list[dict[str, float]]:
        """What processes that run at once have to say; those that wait for it are told to go."""
        started: list[Process] = []
        late = threading.Event()

        def give_up() -> None:
            late.set()
            for process in started:
                process.kill()

        timer = threading.Timer(self.timeout, give_up)
        timer.start()
        try:
            for command in commands:
                process = Process(command, self.directory)
                started.append(process)
                if late.is_set():
                    process.kill()
                if go:
                    process.line()
            for process in started if go else []:
                process.go()
            results = [process.line() for process in started]
            if server is not None:
                results[0] |= {"rss": server.rss(), "cpu": server.cpu()}
            return results
        except (Failure, json.JSONDecodeError) as failure:
            if server is not None:
                server.must_live()
            raise Failure(f"no end after {self.timeout:.0f} s" if late.is_set() else str(failure)) from None
        finally:
            timer.cancel()
            for process in started:
                process.end()
                # What was said is all there is to know. Killing looks whether it has ended by itself.
                process.kill()
                if process.popen.returncode is None:
                    process.wait()


def compare_within(outcome: Outcome) -> None:
    """Figures that two peers of the same alternation make together."""
    mine = outcome.runs.get("wirebird", [])
    for run, reqrep in zip(mine, outcome.runs.get("reqrep", []), strict=False):
        if run and reqrep:
            run["added"] = run["value"] - reqrep["value"]
    for run, bare in zip(mine, outcome.runs.get("wirebird-bare", []), strict=False):
        if run and bare:
            run["bare"] = bare["value"]
    # So that the ratio of a bar has something below the line.
    for peer, runs in outcome.runs.items():
        for run in runs if peer != "wirebird" and "wirebird-bare" in outcome.runs else []:
            if run:
                run["bare"] = run["value"]
