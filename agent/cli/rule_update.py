"""New rules from their publishers: suricata-update fetches and merges, we check, then they take the old ones' place."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tapwarden.agent.cli.group import Failure
from tapwarden.agent.config import Layout
from tapwarden.agent.native import native

LANGUAGE = "7.0.10"
"""The version of Suricata whose language we load: sources have a rule set for each."""

SELECTIONS = ("enable", "disable", "drop", "modify")
"""``NAME.conf`` beside the configuration says which rules are enabled, disabled, made drops, changed."""

NOTHING = "%YAML 1.1\n---\n"
"""A Suricata configuration that says nothing: a Suricata on this host must not choose our rules."""


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update came to: where the rules stand, how many load, how many do not, whether anything changed."""

    file: str
    loaded: int
    failed: int
    changed: bool


def rule_file(layout: Layout) -> Path:
    """The merged rules."""
    return layout.lib / "rules" / "suricata.rules"


def update(
    layout: Layout, engine: str, *, urls: Sequence[str], local: Sequence[Path], offline: bool, timeout_s: int
) -> Updated:
    """Fetch, merge, check, replace. Raises Failure, and the rules before stay, when one of these does not succeed.

    ``engine`` is the native core's configuration as JSON. Without ``urls`` the sources are those enabled with
    suricata-update; without any of these it is ET Open.
    """
    program = find_program()
    if program is None:
        raise Failure("suricata-update is not there: pip install suricata-update")
    state, fresh = layout.lib / "suricata-update", layout.lib / "rules" / "fresh"
    for folder in (state, fresh):
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    empty, own = state / "suricata.yaml", state / "update.yaml"
    empty.write_text(NOTHING)
    # Nor must rules that came with a Suricata of this host be among ours.
    own.write_text(f"{NOTHING}dist-rule-directory: {state / 'none'}\n")
    command = [program, "update", "--data-dir", str(state), "--output", str(fresh)]
    command += ["--config", str(own), "--suricata-conf", str(empty), "--suricata-version", LANGUAGE]
    command += ["--no-test", "--no-reload", "--fail", "--offline" if offline else "--force"]
    for name in SELECTIONS:
        if (chosen := layout.etc / f"{name}.conf").exists():
            command += [f"--{name}-conf", str(chosen)]
    command += [part for url in urls for part in ("--url", url)]
    command += [part for path in local for part in ("--local", str(path))]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except subprocess.TimeoutExpired as error:
        raise Failure(f"suricata-update has not ended after {timeout_s} s") from error
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["it said nothing"]
        raise Failure(f"suricata-update failed ({done.returncode}): {said[-1][-500:]}")
    return _take(layout, engine, fresh / "suricata.rules")


def find_program() -> str | None:
    """The suricata-update beside this Python (an environment need not be on the path), else on the path, else None."""
    beside = Path(sys.executable).parent
    return shutil.which("suricata-update", path=beside) or shutil.which("suricata-update")


def _take(layout: Layout, engine: str, fresh: Path) -> Updated:
    """Put checked rules in place; those before stay beside them as ``.before``."""
    target = rule_file(layout)
    try:
        rules = native("RuleSet")(engine, [str(fresh)], str(layout.etc))
    except OSError as error:
        raise Failure(f"suricata-update made no rules: {error.filename}: {error.strerror}") from error
    if not rules.loaded:
        raise Failure(f"none of the new rules loads ({len(rules.errors)} do not); the rules before stay")
    changed = not target.exists() or target.read_bytes() != fresh.read_bytes()
    if changed:
        if target.exists():
            before = target.with_suffix(".rules.before")
            before.unlink(missing_ok=True)
            os.link(target, before)
        os.replace(fresh, target)
    return Updated(str(target), rules.loaded, len(rules.errors), changed)
