"""How far a followed file was read, kept durably."""

import json
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bookmark:
    """The file (by its mark) and the octet behind the last line that is stored."""

    mark: str
    offset: int


def read_bookmark(path: Path) -> Bookmark | None:
    """The bookmark; None when there is none yet or it is damaged (which is logged)."""
    try:
        fields = json.loads(path.read_bytes())
        return Bookmark(str(fields["mark"]), max(0, int(fields["offset"])))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("bookmark file=%s state=damaged error=%s", path, type(error).__name__)
        return None


def write_bookmark(path: Path, bookmark: Bookmark) -> None:
    """Replace it, atomically and durably. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(asdict(bookmark), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
