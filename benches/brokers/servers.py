"""The brokers: how each is started, and stopped again."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

from cases import MIB
from runner import Failure, free_port
from suite import BrokerCase

# By peer, whose process it talks to.
SERVERS = {
    "wirebird": "wirebird",
    "wirebird-bare": "wirebird",
    "wirebird-tasks": "wirebird",
    "plain": "wirebird",
    "redis": "redis",
    "nats": "nats",
    "nats-request": "nats",
    "nats-group": "nats",
    "mosquitto": "mosquitto",
    "reqrep": "reqrep",
    "req": "wirebird",
}
# Cases whose messages are kept.
DURABLE = ("durable", "paced")
# The function that a worker serves.
FUNCTION = "bench"
# By server, its program and Debian's package.
PACKAGES = {
    "redis": ("redis-server", "redis-server"),
    "nats": ("nats-server", "nats-server"),
    "mosquitto": ("mosquitto", "mosquitto"),
}
PATIENCE = 10.0


def find(server: str) -> Path:
    program, package = PACKAGES[server]
    # Debian has some of them where only root looks.
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise Failure(f"no {program}; apt install {package}")
    return Path(found)


class Server:
    """A broker that runs."""

    def __init__(self, programs: dict[str, Path], case: BrokerCase, peer: str, directory: Path, data: Path) -> None:
        self.directory, self.data = directory, data
        name = SERVERS[peer]
        self.port = free_port()
        self.address = f"ipc://{directory}/socket" if case.transport == "ipc" else f"tcp://127.0.0.1:{self.port}"
        # Where req peers of the broker call the function.
        self.calls = ""
        self.worker: subprocess.Popen[bytes] | None = None
        self.log = (directory / "log").open("w+")
        self.popen = self.start(getattr(self, name)(programs["driver" if name == "reqrep" else name], case))
        try:
            self.wait_until_there()
            if name == "wirebird" and case.pattern in DURABLE:
                self.make_queue(programs["wirebird"])
            if name == "wirebird" and case.pattern == "function":
                self.employ(programs)
        except BaseException:
            self.stop()
            raise

    def start(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        words = [str(word) for word in command]
        return subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, cwd=self.directory
        )

    # Settings are the defaults, but for the address, room for the clients, and nothing on disk that is not asked for.

    def wirebird(self, program: Path, case: BrokerCase) -> list[str | Path]:
        command = [program, "broker", "--listen", self.address, "--max-connections", "11000"]
        if case.size > 20 * MIB:
            command += ["--max-message-size", "250MB"]
        if case.pattern == "function":
            command += ["--config", self.endpoints(case)]
        if case.pattern in DURABLE:
            command += ["--data-dir", self.data]
            if case.sync != "always":
                command += ["--log-sync", "1s"]
        return command

    def redis(self, program: Path, case: BrokerCase) -> list[str | Path]:
        durable = case.pattern in DURABLE
        sync = {"always": "always", "interval": "everysec"}[case.sync]
        return [
            program,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.data, "--save", ""),
            *("--maxclients", "11000", "--appendonly", "yes" if durable else "no", "--appendfsync", sync),
        ]

    def nats(self, program: Path, case: BrokerCase) -> list[str | Path]:
        command = [program, "-a", "127.0.0.1", "-p", str(self.port)]
        return [*command, "-js", "-sd", self.data] if case.pattern in DURABLE else command

    def mosquitto(self, program: Path, case: BrokerCase) -> list[str | Path]:
        config = self.directory / "mosquitto.conf"
        lines = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "set_tcp_nodelay true", "user root")
        config.write_text("\n".join(lines) + "\n")
        return [program, "-c", config]

    def reqrep(self, program: Path, case: BrokerCase) -> list[str | Path]:
        return [program, "reqrep", "serve", self.address]

    def endpoints(self, case: BrokerCase) -> Path:
        """A configuration with a function: one address for those who call, and one for who serves."""
        ipc = case.transport == "ipc"
        self.calls = f"ipc://{self.directory}/calls" if ipc else f"tcp://127.0.0.1:{free_port()}"
        self.work = f"ipc://{self.directory}/work" if ipc else f"tcp://127.0.0.1:{free_port()}"
        config = self.directory / "broker.toml"
        config.write_text(
            "".join(
                f'[[endpoints]]\nkind = "{kind}"\ndestination = "{FUNCTION}"\nlisten = ["{url}"]\n'
                for kind, url in (("function", self.calls), ("workers", self.work))
            )
        )
        return config

    # What is done with it.

    def employ(self, programs: dict[str, Path]) -> None:
        """Starts a worker of the function, and waits until the broker has it."""
        self.worker = self.start([programs["driver"], "reqrep", "work", self.work])
        call = [programs["wirebird"], "call", FUNCTION, "x", "--url", self.address]
        end = time.monotonic() + PATIENCE
        while subprocess.run(call, capture_output=True, timeout=PATIENCE).returncode:
            if time.monotonic() > end:
                raise Failure("no worker has come")

    def wait_until_there(self) -> None:
        kind = socket.AF_UNIX if self.address.startswith("ipc") else socket.AF_INET
        place = self.address.removeprefix("ipc://") if kind == socket.AF_UNIX else ("127.0.0.1", self.port)
        end = time.monotonic() + PATIENCE
        while True:
            self.must_live()
            with socket.socket(kind) as s:
                try:
                    return s.connect(place)
                except OSError as error:
                    if time.monotonic() > end:
                        raise Failure(f"does not listen after {PATIENCE:.0f} s: {error}") from None
            time.sleep(0.005)

    def make_queue(self, program: Path) -> None:
        command = [program, "queue", "create", "bench", "--capacity", "1000000", "--durable", "--url", self.address]
        made = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        if made.returncode:
            raise Failure(f"cannot make a durable queue: {made.stderr.strip()}")

    def must_live(self) -> None:
        if self.popen.poll() is not None:
            self.log.seek(0)
            said = self.log.read().strip().splitlines()
            raise Failure(f"the broker has ended: {' '.join(said[-2:])}")

    def rss(self) -> float:
        """Its resident memory in MB of 1024 KB."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+) kB", status)[1]) / 1024

    def cpu(self) -> float:
        """Processor seconds of its threads so far."""
        tasks = Path(f"/proc/{self.popen.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def stop(self) -> None:
        for process in filter(None, (self.worker, self.popen)):
            process.stdin.close()
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()
