"""Rules reloaded while engines run: by SIGHUP, or asked for with ``tapwarden rules reload``.

The new set is loaded beside the running one; engines take it between two packets. A set that does not load changes
nothing: the one before stays, and that is told. What came of it stands in ``rules.json`` in the run directory, which
also says which process to ask.
"""

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tapwarden.agent.config import Config, Layout
from tapwarden.agent.health import Health
from tapwarden.agent.sensing import Detection, reload_rules
from tapwarden.model.errors import ConfigError, SourceError
from tapwarden.model.ports import Clock

log = logging.getLogger(__name__)

MOST_COMPLAINTS = 20
"""Rules not loaded that are named in the status and the log; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What the last load of rules came to. ``number`` counts loads of this process, the one at its start included."""

    pid: int
    number: int
    at: str
    ok: bool
    loaded: int
    complaints: tuple[str, ...] = ()
    more: int = 0
    problem: str = ""


def status_file(layout: Layout) -> Path:
    """Where a running agent says what its rules are."""
    return layout.run / "rules.json"


def lock_file(layout: Layout) -> Path:
    """Held by a running agent."""
    return layout.run / "agent.lock"


class RuleReload:
    """Loads rules again when asked, one load at a time; requests meanwhile are one more load."""

    def __init__(self, found: Detection, config: Config, layout: Layout, health: Health, clock: Clock) -> None:
        self._found, self._config, self._layout, self._health, self._clock = found, config, layout, health, clock
        self._asked, self._ending = threading.Event(), threading.Event()
        self._number = 0
        self._thread = threading.Thread(target=self._serve, name="rules", daemon=True)

    def request(self) -> None:
        """Ask for a reload; from a signal handler as well."""
        self._asked.set()

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer requests meanwhile; the first status tells what was loaded at the start."""
        with _locked(self._layout):
            self._tell(self._found.complaints)
            self._thread.start()
            try:
                yield
            finally:
                self._ending.set()
                self._asked.set()
                self._thread.join(60)
                status_file(self._layout).unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ending.is_set():
                return
            try:
                complaints = reload_rules(self._found, self._config, self._layout)
            except (ConfigError, SourceError) as error:
                self._tell([], problem=str(error))
            else:
                self._tell(complaints)

    def _tell(self, complaints: list[str], *, problem: str = "") -> None:
        self._number += 1
        told = Reloaded(
            pid=os.getpid(),
            number=self._number,
            at=self._clock.now().isoformat(),
            ok=not problem,
            loaded=self._found.rule_count,
            complaints=tuple(complaints[:MOST_COMPLAINTS]),
            more=max(0, len(complaints) - MOST_COMPLAINTS),
            problem=problem,
        )
        if problem:
            log.error("rules=kept loaded=%d problem=%r", told.loaded, problem)
            self._health.set("rules", "degraded", f"not reloaded, the rules before stay: {problem}")
        else:
            detail = f"{told.loaded} loaded" + (f", {len(complaints)} not" if complaints else "")
            self._health.set("rules", "ok", detail)
            if self._number > 1:
                log.info("rules=reloaded loaded=%d not_loaded=%d", told.loaded, len(complaints))
                for complaint in told.complaints:
                    log.warning("rules=%r", complaint)
        _write(status_file(self._layout), told)


def running(layout: Layout) -> bool:
    """Whether an agent of this installation runs here."""
    try:
        with lock_file(layout).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def last(layout: Layout) -> Reloaded | None:
    """What a running agent last said; ``None`` when it said nothing."""
    try:
        return Reloaded(**json.loads(status_file(layout).read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    """Hold the lock that says an agent runs; without a run directory to write to it runs all the same."""
    try:
        layout.run.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = lock_file(layout).open("a")
    except OSError as error:
        log.warning("run_directory=%s error=%r: `tapwarden rules reload` will not find this agent", layout.run, error)
        yield
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("run_directory=%s: another agent runs with it", layout.run)
        yield


def _write(path: Path, told: Reloaded) -> None:
    """Whole or not at all. What cannot be written is logged: the rules are what they are."""
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        beside.write_text(json.dumps(asdict(told)))
        beside.replace(path)
    except OSError as error:
        log.warning("status=%s error=%r", path, error)
