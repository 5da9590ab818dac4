"""The progress of a replay on a terminal, and what came of it."""

import sys
import threading
from collections import Counter

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tapwarden.agent.cli.output import console
from tapwarden.agent.composition import Parts
from tapwarden.agent.runtime import Runtime


def replay_progress(runtime: Runtime, stopping: threading.Event) -> None:
    """Wait for the end of a replay (or a signal), with a bar when a terminal is attached."""
    shown = sys.stderr.isatty()
    columns = (TextColumn("replaying"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), disable=not shown, transient=True) as progress:
        task = progress.add_task("replay", total=None)
        while not runtime.ended.wait(0.1) and not stopping.is_set():
            counters = runtime.counters()
            progress.update(
                task,
                completed=counters.get("capture.position_octets", 0),
                total=counters.get("capture.size_octets") or None,
            )


def replay_result(parts: Parts, runtime: Runtime) -> dict[str, str]:
    """The chain from packets to receipts in a few lines; incidents, actions and reports as they are in the store."""
    counters = runtime.counters()
    incidents = parts.cases.incidents(open_only=True, limit=10_000)
    actions = Counter(action.state.value for action in parts.cases.actions(limit=10_000))
    reports = Counter(report.state.value for report in parts.cases.reports(limit=10_000))
    how = "" if parts.config.mitigation.mode == "enforce" else " (dry run)"
    return {
        "Packets": f"{counters.get('decoder.pkts', 0):,}",
        "Events": f"{counters.get('events.stored', 0):,} new, {counters.get('alerts', 0):,} alerts",
        "Incidents": f"{len(incidents):,} open",
        "Actions": _counted(actions) + how if actions else "none",
        "Reports": _counted(reports) if reports else "none",
    }


def _counted(states: Counter[str]) -> str:
    return ", ".join(f"{count:,} {state}" for state, count in states.most_common())
