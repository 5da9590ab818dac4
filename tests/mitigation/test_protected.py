"""What the host must never cut itself off from, read from the system."""

import json
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tapwarden.mitigation.protected import Hosts, gateways, of_this_host, resolvers


def test_own_addresses_gateways_and_broadcasts_of_a_namespace_are_found(netns: str, tmp_path: Path) -> None:
    for command in (
        "link add up0 type veth peer name up1",
        "addr add 198.18.7.2/24 dev up0",
        "addr add 2001:db8:7::2/64 dev up0 nodad",
        "link set up0 up",
        "link set up1 up",
        "route add default via 198.18.7.1",
        "route add 192.0.2.0/24 via 198.18.7.9",
        "-6 route add default via 2001:db8:7::1",
        "route add local 203.0.113.0/24 dev lo",
    ):
        subprocess.run(["ip", "-n", netns, *command.split()], check=True, timeout=10)
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("# comment\nsearch example\nnameserver 198.18.7.53\nnameserver fe80::1%up0\nnameserver what?\n")

    found = {str(entry) for entry in of_this_host(netns=netns, resolv_confs=[resolv, tmp_path / "absent"])}

    assert {
        "own address: 198.18.7.2",
        "own address: 203.0.113.0/24",
        "own address (up0): 2001:db8:7::2",
        "broadcast address of an own subnet: 198.18.7.255",
        "gateway (up0): 198.18.7.1",
        "gateway (up0): 198.18.7.9",
        "gateway (up0): 2001:db8:7::1",
        f"resolver ({resolv}): 198.18.7.53",
        f"resolver ({resolv}): fe80::1",
    } <= found


def test_this_host_protects_every_address_that_ip_knows() -> None:
    answer = subprocess.run(["ip", "-j", "addr"], check=True, capture_output=True, timeout=10)
    known = {info["local"] for link in json.loads(answer.stdout) for info in link["addr_info"]}
    assert known <= {str(entry).split(": ")[-1] for entry in of_this_host()}


def test_a_system_without_these_files_protects_nothing_and_does_not_fail(tmp_path: Path) -> None:
    assert gateways(tmp_path) == []
    assert resolvers([tmp_path / "resolv.conf"]) == []


def test_a_host_we_depend_on_is_protected_by_name_and_address() -> None:
    named = {"coordinator": "LocalHost.", "store": "[2001:db8::9]", "proxy": "no.invalid"}
    found = [str(entry) for entry in Hosts(named).entries()]
    assert "coordinator: localhost" in found
    assert "coordinator (localhost): 127.0.0.1" in found
    assert "store: 2001:db8::9" in found
    assert "proxy: no.invalid" in found


def test_a_resolver_that_hangs_holds_nobody_up_and_takes_nothing_away(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, resolve, clock = threading.Event(), socket.getaddrinfo, [0.0]

    def slow(*arguments: Any, **options: Any) -> Any:
        if clock[0] > 0:
            hanging.wait(20)
            raise socket.gaierror("no answer")
        return resolve(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    known = Hosts({"coordinator": "localhost"}, every_s=60, monotonic=lambda: clock[0])
    first = known.entries()
    clock[0] = 61.0
    started = time.monotonic()
    assert known.entries() == first
    assert time.monotonic() - started < 1.0
    hanging.set()
    for thread in threading.enumerate():
        if thread.name == "protected-hosts":
            thread.join(5)
    assert "coordinator (localhost): 127.0.0.1" in map(str, known.entries())
