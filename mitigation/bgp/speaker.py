"""ExaBGP as a process of ours: its configuration, its life, and the conversation with its API.

ExaBGP holds the sessions; it runs ``relay`` as its API process, which connects to a socket that only we can use.
Each command is answered with lines and then ``done`` or ``error`` (ExaBGP 5). Should we end, the relay does, and ExaBGP
with it: the sessions close and the neighbours drop what we announced (RFC 4271 section 6).
"""

import contextlib
import getpass
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from tapwarden.mitigation.bgp import relay
from tapwarden.mitigation.namespace import inside
from tapwarden.model.errors import MitigationError

START_S, ANSWER_S, END_S = 20.0, 10.0, 5.0
"""What ExaBGP may take to start, to answer a command, and to end."""

LONGEST_ANSWER = 64 << 20
"""Octets of one answer; a list of 100,000 routes is a tenth of it."""

_SECRET = re.compile(r"[!-~]{1,80}\Z")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A router that is told. Addresses in canonical text; ``password`` is TCP's MD5 secret (RFC 2385), "" for none."""

    address: str
    peer_as: int
    local_address: str
    local_as: int
    router_id: str
    port: int = 179
    password: str = ""
    hold_time_s: int = 90


class Speaker:
    """One ExaBGP. Used by one thread; ``start`` again after it was lost. Raises MitigationError."""

    def __init__(self, neighbours: Sequence[Neighbour], folder: Path, *, flow: bool, netns: str = "") -> None:
        self._neighbours, self._folder, self._flow, self._netns = neighbours, folder, flow, netns
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._waiting = b""

    @property
    def alive(self) -> bool:
        """Whether it runs and talks to us."""
        return self._process is not None and self._process.poll() is None and self._connection is not None

    def start(self) -> None:
        """Run it, until its API answers."""
        self.stop()
        path = self._folder / "api.sock"
        path.unlink(missing_ok=True)
        file = self._folder / "exabgp.conf"
        with contextlib.ExitStack() as stack:
            listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            try:
                listening.bind(str(path))
                path.chmod(0o600)
                listening.listen(1)
                file.touch(mode=0o600)
                file.write_text(configuration(self._neighbours, path, flow=self._flow), encoding="utf-8")
                log = stack.enter_context((self._folder / "exabgp.log").open("wb"))
                self._process = inside(self._netns, lambda: _run(file, log.fileno()))
            except OSError as problem:
                raise MitigationError(f"ExaBGP cannot be run: {problem}") from problem
            listening.settimeout(0.2)
            deadline = time.monotonic() + START_S
            while self._connection is None:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise MitigationError(f"ExaBGP did not start: {self._last_words()}")
                with contextlib.suppress(TimeoutError):
                    self._connection, _ = listening.accept()
            self._waiting = b""

    def stop(self) -> None:
        """End it, and with it the sessions."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(END_S)
            self._process = None

    def command(self, text: str) -> list[str]:
        """Say one command; the lines of the answer. MitigationError when it is refused, or nobody answers."""
        if self._connection is None:
            raise MitigationError("ExaBGP does not run")
        try:
            self._connection.sendall(text.encode("ascii") + b"\n")
            lines: list[str] = []
            for line in self._lines():
                if line == "done":
                    return lines
                if line == "error":
                    raise MitigationError(f"ExaBGP refuses: {text}")
                if not line.startswith("{"):  # events of sessions come in between
                    lines.append(line)
        except OSError as problem:
            self.stop()
            raise MitigationError(f"ExaBGP does not answer: {problem}") from problem
        self.stop()
        raise MitigationError(f"ExaBGP ended: {self._last_words()}")

    def established(self) -> Mapping[str, frozenset[str]]:
        """The neighbours with a session, by address, each with the families both sides agreed to."""
        found = json.loads("".join(self.command("show neighbor summary json")) or "[]")
        return {
            str(ip_address(one["peer"]["address"])): frozenset(
                family for family, agreed in one["peer"]["families"].items() if agreed
            )
            for one in found
            if one.get("fsm") == "ESTABLISHED"
        }

    def sent(self) -> Mapping[str, frozenset[str]]:
        """What each neighbour was told and not untold, by its address, in ExaBGP's words without the next hop."""
        told: dict[str, set[str]] = {}
        for line in self.command("show adj-rib out"):
            address, _, route = line.partition(" ")
            told.setdefault(address, set()).add(route.partition(" next-hop ")[0].strip())
        return {address: frozenset(routes) for address, routes in told.items()}

    def _lines(self) -> Iterator[str]:
        """The lines of one answer, until ExaBGP's end. Raises OSError when it takes too long."""
        deadline = time.monotonic() + ANSWER_S
        while (line := self._next_line(deadline)) is not None:
            yield line

    def _next_line(self, deadline: float) -> str | None:
        """One line of what ExaBGP says; None at its end."""
        while b"\n" not in self._waiting:
            if self._connection is None or len(self._waiting) > LONGEST_ANSWER:
                return None
            self._connection.settimeout(max(0.01, deadline - time.monotonic()))
            octets = self._connection.recv(65536)
            if not octets:
                return None
            self._waiting += octets
        line, _, self._waiting = self._waiting.partition(b"\n")
        return line.decode("utf-8", "replace").strip()

    def _last_words(self) -> str:
        try:
            lines = (self._folder / "exabgp.log").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it says nothing"
        return (" | ".join(line.strip() for line in lines[-3:]) or "it says nothing")[-500:]


def configuration(neighbours: Sequence[Neighbour], socket_path: Path, *, flow: bool) -> str:
    """ExaBGP's configuration: the neighbours, and the relay as the API of all of them. ValueError for a bad secret."""
    families = ("ipv4 unicast", "ipv6 unicast", *(("ipv4 flow", "ipv6 flow") if flow else ()))
    listed = " ".join(f"{family};" for family in families)
    run = f"{sys.executable} {relay.__file__} {socket_path}"
    parts = [f"process tapwarden {{ run {run}; encoder json; }}"]
    for one in neighbours:
        if one.password and not (_SECRET.match(one.password) and not set(one.password) & set("\"';{}")):
            raise ValueError(f"the password for {one.address} has characters that ExaBGP cannot read")
        secret = f' md5-password "{one.password}";' if one.password else ""
        connect = f" connect {one.port};" if one.port != 179 else ""
        parts.append(
            f"neighbor {one.address} {{ router-id {one.router_id}; local-address {one.local_address};"
            f" local-as {one.local_as}; peer-as {one.peer_as}; hold-time {one.hold_time_s};{connect}{secret}"
            f" family {{ {listed} }} api {{ processes [ tapwarden ]; neighbor-changes; }} }}"
        )
    return "\n".join(parts) + "\n"


def port_names() -> Callable[[int], str]:
    """How the installed ExaBGP writes ports; plain numbers where it is not installed."""
    try:
        from exabgp.protocol.ip.port import Port  # noqa: PLC0415 - an extra of the package
    except ImportError:
        return str
    names: Mapping[int, str] = Port.names
    return lambda port: names.get(port, str(port))


def _run(file: Path, log: int) -> "subprocess.Popen[bytes]":
    settings = {
        "exabgp_daemon_user": getpass.getuser() if os.getuid() else "root",
        "exabgp_api_cli": "false",
        "exabgp_api_respawn": "false",
        "exabgp_api_terminate": "true",
        "exabgp_api_chunk": "100",
        "exabgp_log_destination": "stderr",
        "exabgp_log_level": "WARNING",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "exabgp", "server", str(file)],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
