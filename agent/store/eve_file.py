"""``eve.json``: every event as a line of JSON, for whatever already reads Suricata's (Filebeat, EveBox, jq).

The embedded store is what Tapwarden itself reads; this file is written beside it and may be switched off.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tapwarden.model.errors import StoreError
from tapwarden.model.event import Event


class EveFile:
    """Appends events; one writer, used by one thread (``reopen`` by any).

    A file that was renamed or removed (logrotate) is made anew at the next append. Beyond ``max_octets`` it is renamed
    to ``eve.json.1``, in place of the one before, so that the two together bound the room it takes. It is never left
    with half a line.
    """

    def __init__(self, path: Path, *, max_octets: int) -> None:
        self.path, self._max_octets = path, max_octets
        self._fd = -1
        self._reopen = False

    def append(self, events: Sequence[Event]) -> None:
        """Write a batch. Raises StoreError when it cannot be written; then none of it is there."""
        if not events:
            return
        octets = b"".join(event.raw + b"\n" for event in events)
        try:
            self._open(len(octets))
            before = os.fstat(self._fd).st_size
            try:
                view = memoryview(octets)
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                with suppress(OSError):  # no regular file
                    os.ftruncate(self._fd, before)
                raise
        except OSError as error:
            self.close()
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def reopen(self) -> None:
        """Open the file by its name again before the next append (SIGHUP)."""
        self._reopen = True

    def close(self) -> None:
        """Close the file; harmless when it is closed."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, coming_octets: int) -> None:
        if self._fd >= 0 and (self._reopen or self._moved()):
            self.close()
        self._reopen = False
        if self._fd < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        size = os.fstat(self._fd).st_size
        if size and size + coming_octets > self._max_octets:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
            self.close()
            self._open(0)

    def _moved(self) -> bool:
        """Whether the name leads to another file by now, or to none."""
        try:
            named, ours = self.path.stat(), os.fstat(self._fd)
        except FileNotFoundError:
            return True
        return (named.st_dev, named.st_ino) != (ours.st_dev, ours.st_ino)
