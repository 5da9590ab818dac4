"""What `make run` says, in one line, when something it needs is not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREFLIGHT = Path(__file__).resolve().parent.parent / "tools/preflight.sh"


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH of programs that are as they should be; a test takes away or replaces one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sed", "ls", "tr", "cat"):
        (folder / name).symlink_to(f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else f"/bin/{name}")
    (folder / "python3").symlink_to(sys.executable)
    for name, says in (("cc", ""), ("cargo", ""), ("pkg-config", ""), ("rustc", "rustc 1.95.0 (59807616e 2026-04-14)")):
        program(folder, name, says)
    return folder


def program(folder: Path, name: str, says: str, code: int = 0) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    (folder / name).chmod(0o755)


def preflight(*args: str, path: Path | None = None, within: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    env = os.environ | ({"PATH": str(path)} if path else {})
    env.pop("PYTHON", None)
    command = [*within, "/bin/sh", str(PREFLIGHT), *args]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    return ran.returncode, ran.stderr.splitlines()


def test_with_everything_there_nothing_is_said(tools: Path) -> None:
    assert preflight("build", path=tools) == (0, [])


@pytest.mark.parametrize(
    ("name", "how_to_get_it"),
    [("cargo", "rustup.rs"), ("cc", "apt-get install build-essential"), ("python3", "apt-get install python3")],
)
def test_a_missing_tool_is_named_with_the_way_to_get_it(tools: Path, name: str, how_to_get_it: str) -> None:
    (tools / name).unlink()
    code, [line] = preflight("build", path=tools)
    assert code == 1
    assert how_to_get_it in line


def test_a_rust_that_is_too_old_is_told_with_both_versions(tools: Path) -> None:
    program(tools, "rustc", "rustc 1.63.0 (4b91a6ea7 2022-08-08)")
    code, [line] = preflight("build", path=tools)
    assert code == 1
    assert "1.82 or later is needed" in line
    assert "1.63.0" in line
    assert "rustup update" in line


def test_without_hyperscan_it_goes_on_and_says_what_is_lost(tools: Path) -> None:
    program(tools, "pkg-config", "", code=1)
    code, [line] = preflight("build", path=tools)
    assert code == 0
    assert "libhyperscan-dev" in line


def test_without_the_capture_capability_it_says_how_to_get_it_and_what_works_without() -> None:
    within: tuple[str, ...] = ()
    if os.geteuid() == 0:
        within = ("setpriv", "--inh-caps=-net_raw", "--bounding-set=-net_raw", "--reuid=65534", "--clear-groups")
    code, [line] = preflight("capture", "", within=within)
    assert code == 1
    assert "CAP_NET_RAW" in line
    assert "sudo make run" in line
    assert "PCAP=examples/infected-host.pcap" in line


def test_an_interface_that_is_not_there_is_told_with_those_that_are() -> None:
    code, [line] = preflight("capture", "nosuch0")
    assert code == 1
    assert "no interface nosuch0" in line
    assert "lo" in line
