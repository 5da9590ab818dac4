"""Which spool this is: a name that a folder has from its first use until it is removed."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

LENGTH = 16


def identity_of(path: Path, entropy: Callable[[int], bytes]) -> str:
    """16 hex digits, read from the file or made and written there. Raises OSError."""
    with suppress(FileNotFoundError):
        known = path.read_text("ascii", "replace")
        if len(known) == LENGTH and known.isalnum():
            return known
    made = entropy(LENGTH // 2).hex()
    new = path.with_suffix(".new")
    with new.open("w", encoding="ascii") as file:
        file.write(made)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return made
