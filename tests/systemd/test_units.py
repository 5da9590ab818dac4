"""The units: systemd takes them, they are hardened, and what they grant is enough for nft."""

import os
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("*.service"))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy that starts a program which exists on this host."""
    copy = tmp_path / request.param
    copy.write_text((SYSTEMD / request.param).read_text().replace("/usr/bin/tapwarden", "/bin/true"))
    return copy


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_systemd_finds_nothing_to_complain_about(unit: Path) -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    about_ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert about_ours == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, indirect=True)
def test_the_exposure_that_systemd_computes_stays_low(unit: Path) -> None:
    done = subprocess.run(
        [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a unit file offline")
    matched = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert matched, done.stdout + done.stderr
    assert float(matched[1]) <= 2.6


def test_the_account_and_the_folders_are_made_with_the_rights_they_need(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving folders to another account needs root")
    (tmp_path / "etc").mkdir()
    for program, configuration in (("systemd-sysusers", "sysusers.d"), ("systemd-tmpfiles", "tmpfiles.d")):
        command = [tool(program), f"--root={tmp_path}", *(["--create"] if program == "systemd-tmpfiles" else [])]
        target = tmp_path / "usr/lib" / configuration
        target.mkdir(parents=True)
        shutil.copy(SYSTEMD / configuration / "tapwarden.conf", target)
        subprocess.run([*command, "tapwarden.conf"], check=True, capture_output=True, timeout=30)
    account = next(line for line in (tmp_path / "etc/passwd").read_text().splitlines() if "tapwarden" in line)
    assert account.endswith("nologin")
    uid = int(account.split(":")[2])
    cases, settings = (tmp_path / "var/lib/tapwarden/cases").stat(), (tmp_path / "etc/tapwarden").stat()
    assert (cases.st_uid, cases.st_mode & 0o777) == (uid, 0o700)
    assert (settings.st_uid, settings.st_mode & 0o777) == (0, 0o750)


def test_an_ordinary_account_with_the_units_capabilities_may_drive_nft() -> None:
    if os.geteuid() != 0:
        pytest.skip("making a network namespace needs root")
    granted = re.search(r"^AmbientCapabilities=(.*)$", (SYSTEMD / "tapwarden.service").read_text(), re.MULTILINE)
    assert granted
    grants = ",".join("+" + name.removeprefix("CAP_").lower() for name in granted[1].split())
    netns = f"tw-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", netns], check=True, timeout=10)
    try:
        ordinary = [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
        able = [f"--inh-caps=-all,{grants}", f"--ambient-caps={grants}", f"--bounding-set=-all,{grants}"]
        for extra, succeeds in (([], False), (able, True)):
            done = subprocess.run(
                ["ip", "netns", "exec", netns, *ordinary, *extra, tool("nft"), "add", "table", "inet", "tapwarden"],
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            assert (done.returncode == 0) is succeeds, done.stderr
    finally:
        subprocess.run(["ip", "netns", "del", netns], check=True, timeout=10)
