"""The inbox's filter box: EveBox's query words over alert groups.

``is:open|archived|escalated|all @ip:A @sid:N @sig:WORD @from:A @to:A sev:1 sev:<=2 count:>=100 -word "a phrase"``;
anything else is a word that has to occur in the signature, an address, a category or a badge. All terms must hold.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tapwarden.model.incident import AlertGroup, GroupState
from tapwarden.model.ports import CaseStore

MAX_SCANNED = 5000
"""Groups looked at for one page of a filter the store cannot answer alone; the page says when there were more."""

CHUNK = 500

STATES = {"open": GroupState.OPEN, "archived": GroupState.ARCHIVED, "escalated": GroupState.ESCALATED, "all": None}

Test = Callable[[AlertGroup], bool]


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """A parsed filter. ``text`` goes to the store; ``tests`` are what it cannot answer; ``problems`` are shown."""

    state: GroupState | None
    text: str
    min_count: int
    tests: tuple[Test, ...]
    problems: tuple[str, ...]


def parse_filter(query: str) -> InboxFilter:
    """Read the box; what cannot be read is a problem and does not restrict."""
    problems: list[str] = []
    try:
        words = shlex.split(query, posix=True)
    except ValueError:
        words = query.replace('"', " ").replace("'", " ").split()
        problems.append("a quotation mark is not closed")
    state: GroupState | None = GroupState.OPEN
    plain: list[str] = []
    tests: list[Test] = []
    min_count = 0
    for word in words:
        key, colon, value = word.partition(":")
        if word.startswith("-") and len(word) > 1:
            tests.append(_lacks(word[1:].lower()))
        elif colon and key == "is" and value in STATES:
            state = STATES[value]
        elif colon and key == "count" and (least := re.fullmatch(r">=(\d{1,12})", value)):
            min_count = int(least[1])
        elif colon and key in FIELD_TESTS:
            test = FIELD_TESTS[key](value)
            if test:
                tests.append(test)
            else:
                problems.append(f"{word} is not understood")
        elif colon and (key in ("is", "count") or key.startswith("@")):
            problems.append(f"{word} is not understood")
        else:
            plain.append(word)
    # The store matches one text; further words are looked for here.
    tests += [_has(word.lower()) for word in plain[1:]]
    return InboxFilter(state, plain[0] if plain else "", min_count, tuple(tests), tuple(problems))


@dataclass(frozen=True, slots=True)
class InboxPage:
    """One page of groups; ``more`` says that another follows, ``incomplete`` that the scan's limit was reached."""

    groups: tuple[AlertGroup, ...]
    more: bool
    incomplete: bool


def find_groups(cases: CaseStore, wanted: InboxFilter, *, order: str, limit: int, offset: int) -> InboxPage:
    """Groups ``offset`` to ``offset + limit`` of those that fit. Raises StoreError."""

    def fetch(count: int, start: int) -> Sequence[AlertGroup]:
        return cases.groups(
            state=wanted.state, text=wanted.text, min_count=wanted.min_count, limit=count, offset=start, order=order
        )

    if not wanted.tests:
        found = fetch(limit + 1, offset)
        return InboxPage(tuple(found[:limit]), len(found) > limit, incomplete=False)
    fitting: list[AlertGroup] = []
    for start in range(0, MAX_SCANNED, CHUNK):
        chunk = fetch(CHUNK, start)
        fitting += [group for group in chunk if all(test(group) for test in wanted.tests)]
        if len(fitting) > offset + limit or len(chunk) < CHUNK:
            return InboxPage(tuple(fitting[offset : offset + limit]), len(fitting) > offset + limit, incomplete=False)
    return InboxPage(tuple(fitting[offset : offset + limit]), more=False, incomplete=True)


def _haystack(group: AlertGroup) -> str:
    parts = (group.signature, group.category, group.src_ip, group.dest_ip, str(group.sid), *group.badges)
    return "\n".join(parts).lower()


def _has(word: str) -> Test:
    return lambda group: word in _haystack(group)


def _lacks(word: str) -> Test:
    return lambda group: word not in _haystack(group)


def _number_test(value: str, read: Callable[[AlertGroup], int]) -> Test | None:
    match = re.fullmatch(r"(<=|>=|<|>|)(\d{1,12})", value)
    if not match:
        return None
    operator, bound = match[1], int(match[2])
    compare: dict[str, Callable[[int], bool]] = {
        "": lambda n: n == bound,
        "<": lambda n: n < bound,
        "<=": lambda n: n <= bound,
        ">": lambda n: n > bound,
        ">=": lambda n: n >= bound,
    }
    return lambda group: compare[operator](read(group))


FIELD_TESTS: dict[str, Callable[[str], Test | None]] = {
    "@ip": lambda v: (lambda g: v in (g.src_ip, g.dest_ip)) if v else None,
    "@from": lambda v: (lambda g: g.src_ip == v) if v else None,
    "@to": lambda v: (lambda g: g.dest_ip == v) if v else None,
    "@sig": lambda v: (lambda g: v.lower() in g.signature.lower()) if v else None,
    "@sid": lambda v: _number_test(v, lambda g: g.sid) if v.isdigit() else None,
    "@sensor": lambda v: (lambda g: g.sensor == v) if v else None,
    "sev": lambda v: _number_test(v, lambda g: g.severity),
    "count": lambda v: _number_test(v, lambda g: g.count),
}
