"""What has to go: too old first, then the least valuable and oldest while all of it takes too much room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tapwarden.agent.store.retention.holding import Holding, Kept

IN_USE = timedelta(days=1)
"""What was written to within this time is never dropped."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Ages by what is kept; octets for all of it together (None: what the disk has); octets of the disk left free."""

    ages: Mapping[Kept, timedelta]
    max_octets: int | None
    min_free_octets: int


@dataclass(frozen=True, slots=True)
class Doomed:
    """A holding that has to go, and why: ``age``, ``size`` or ``free``."""

    holding: Holding
    why: str


def doomed(holdings: Sequence[Holding], limits: Limits, *, now: datetime, free_octets: int) -> list[Doomed]:
    """What has to go now. Time counts from the last write: old traffic that is replayed today stays as any other."""
    found: list[Doomed] = []
    total = sum(one.octets for one in holdings)
    loose = [one for one in holdings if not one.fixed and one.written <= now - IN_USE]
    for one in sorted(loose, key=lambda one: (one.kept, one.written)):
        age = limits.ages.get(one.kept)
        if age is not None and one.written <= now - age:
            found.append(Doomed(one, "age"))
    gone = {id(one.holding) for one in found}
    freed = sum(one.holding.octets for one in found)
    for one in sorted(loose, key=lambda one: (one.kept, one.written)):
        if id(one) in gone:
            continue
        if limits.max_octets is not None and total - freed > limits.max_octets:
            found.append(Doomed(one, "size"))
        elif free_octets + freed < limits.min_free_octets:
            found.append(Doomed(one, "free"))
        else:
            break
        freed += one.octets
    return found
