"""What all tests share: where the shared material is; in CI a skip without an accepted reason is a failure."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TOP = Path(__file__).resolve().parent.parent
SHARED = TOP.parent / "shared"

MAY_SKIP = ("../shared is not there", "Suricata is not installed")
"""Reasons that CI accepts: it does not install these."""

settings.register_profile("tapwarden", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tapwarden")
"""How fast examples are made says how busy the machine is, not whether the code is right."""


@pytest.fixture(scope="session")
def top() -> Path:
    """The checkout."""
    return TOP


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with captures, rules and conformance cases; skips where it is not there."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With TAPWARDEN_NO_SKIP, a test skipped for another reason than MAY_SKIP fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("TAPWARDEN_NO_SKIP") or reporter is None or exitstatus != 0:
        return
    unexcused = []
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(excuse in reason for excuse in MAY_SKIP):
            unexcused.append(f"{report.nodeid}: {reason}")
    if unexcused:
        reporter.write_line("skipped although everything is installed:", red=True)
        for line in unexcused:
            reporter.write_line(f"  {line}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
