"""The progress of a replay, on a terminal."""

import sys
import threading

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tapwarden.agent.cli.output import console
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
