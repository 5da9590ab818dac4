"""Tapwarden's programs on a gateway: in its namespace, configured, started, asked and stopped as people do."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tapwarden.mitigation.namespace import inside


class Host:
    """Tapwarden's programs on the gateway: in its namespace, with everything below one directory."""

    def __init__(self, netns: str, root: Path) -> None:
        self.netns, self.root = netns, root

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write the configuration (JSON is YAML)."""
        (self.root / "etc/tapwarden.yaml").write_text(json.dumps(settings))

    def ask(self, *arguments: str) -> Any:
        """The JSON answer of a short command."""
        command = self._command(*arguments, "-o", "json")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def targets(self, state: str) -> set[str]:
        """The targets of all actions, provided that all are in this state; else nothing."""
        actions = self.ask("actions", "list")
        return {a["target"]["value"] for a in actions} if {a["state"] for a in actions} == {state} else set()

    def start(self, *arguments: str, ready: str = "") -> "Running":
        environment = {**os.environ, "NOTIFY_SOCKET": ready} if ready else dict(os.environ)
        log = self.root / f"{arguments[0]}.log"
        with log.open("wb") as output:
            command = self._command(*arguments)
            return Running(subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment), log)

    def _command(self, *arguments: str) -> list[str]:
        inner = [sys.executable, "-m", "tapwarden", *arguments, "--root", str(self.root)]
        return ["ip", "netns", "exec", self.netns, *inner]


@dataclass(frozen=True)
class Running:
    """A program that runs, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        """End it the way systemd does; killed when it does not end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


def wait_for(condition: Callable[[], bool], within_s: float, what: str, running: Running) -> None:
    """Wait for something that a running program is to bring about."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert running.process.poll() is None, f"it ended with {running.process.returncode}: {running.said()}"
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}\n{running.said()}"
        time.sleep(0.2)


@contextmanager
def run(host: Host) -> Iterator[Running]:
    """``tapwarden run`` on the gateway, from READY=1 until it is told to stop."""
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as readiness:
        readiness.bind(f"{folder}/ready")
        readiness.setblocking(False)
        watching = host.start("run", ready=f"{folder}/ready")
        try:
            wait_for(lambda: _told(readiness, b"READY=1"), 60, "tapwarden run says READY=1", watching)
            yield watching
        finally:
            watching.stop()


def _told(readiness: socket.socket, what: bytes) -> bool:
    try:
        return what in readiness.recv(4096)
    except BlockingIOError:
        return False


def serves(netns: str, port: int) -> bool:
    """Whether something listens on the namespace's loopback."""
    try:
        inside(netns, lambda: socket.create_connection(("127.0.0.1", port), timeout=1)).close()
    except OSError:
        return False
    return True


def fetch(netns: str, port: int, path: str, token: str) -> Any:
    """The JSON that a server on the namespace's loopback answers to a bearer of this token."""
    with inside(netns, lambda: socket.create_connection(("127.0.0.1", port), timeout=20)) as sock:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.sock = sock
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        assert answer.status == 200
        return json.loads(answer.read())
