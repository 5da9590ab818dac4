"""What an examination of this host found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``state`` is ok, warn or fail; ``advice`` says what to do."""

    part: str
    state: str
    text: str
    advice: str = ""
