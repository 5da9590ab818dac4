"""The privacy gate: what of a report one receiver may have. The last step before it is written and leaves.

Labels first (TLP 2.0, PAP: a report above the receiver's is refused whole), then fields by an allow-list, then every
text in what is left: internal addresses become this receiver's pseudonyms, are dropped, or stay, as configured; payload
is cut to what is allowed. After the document was written it is searched once more for addresses that must not leave.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tapwarden.agent.report.pseudonym import Pseudonyms
from tapwarden.agent.report.reporter import PAP_LABELS, TLP_LABELS
from tapwarden.model.errors import RefusedError
from tapwarden.model.report import Passed, Report

IDENTITY = frozenset(
    {
        *("schema", "report_id", "incident_id", "stage", "stage_id", "profile", "drill", "created_at", "due_at"),
        *("reporter", "agent", "tlp", "pap", "prior_ref"),
    }
)
"""What every receiver gets: which report of whom this is."""

PAYLOAD = frozenset({"payload", "payload_printable", "packet", "stream", "excerpt", "http_body", "http_body_printable"})
"""Keys whose text is traffic."""

DROPPED = "internal"
_ADDRESS = re.compile(
    r"(?<![0-9A-Za-z_.:])(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|(?:[0-9A-Fa-f]{0,4}:){2,7}(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f]{0,4}))"
    r"(?![0-9A-Za-z_])"
)
"""What may be an address in a text; ``ipaddress`` says whether it is."""


@dataclass(frozen=True, slots=True)
class ReceiverRules:
    """What a receiver may have. ``tlp`` and ``pap`` are the strictest labels it may be given; ``fields`` empty: all.

    ``internal``: pseudonym, clear or drop. ``payload``: octets of traffic kept of each excerpt.
    """

    name: str
    tlp: str = "AMBER"
    pap: str = "AMBER"
    fields: frozenset[str] = frozenset()
    internal: str = "pseudonym"
    payload: int = 0


class PrivacyGate:
    """The Gate of one receiver. ``ours`` tells internal addresses; ``pseudonyms`` gives those of a year."""

    def __init__(
        self, rules: ReceiverRules, ours: Callable[[str], bool], pseudonyms: Callable[[str], Pseudonyms]
    ) -> None:
        self._rules, self._ours, self._pseudonyms = rules, ours, pseudonyms

    def passed(self, report: Report) -> Passed:
        """See the port."""
        rules, body = self._rules, report.body
        tlp = _label(body.get("tlp"), TLP_LABELS, rules.tlp, "TLP", rules.name)
        _label(body.get("pap", "AMBER"), PAP_LABELS, rules.pap, "PAP", rules.name)
        allowed = rules.fields | IDENTITY if rules.fields else None
        withheld = tuple(key for key in body if allowed is not None and key not in allowed)
        kept = {key: value for key, value in body.items() if key not in withheld}
        cleaner = _Cleaner(rules, self._ours, self._pseudonyms(f"{report.created_at:%Y}"))
        cleaned = cleaner.value(kept)
        return Passed(replace(report, body=cleaned), (*withheld, *sorted(cleaner.cut)), len(cleaner.replaced), tlp)

    def leak(self, payload: bytes) -> str:
        """See the port."""
        if self._rules.internal == "clear" or payload.startswith(b"%PDF"):
            return ""
        for found in _ADDRESS.finditer(payload.decode("utf-8", "replace")):
            if self._internal(found[0]):
                return "an internal address is in it"
        return ""

    def _internal(self, text: str) -> bool:
        return bool(_canonical(text)) and self._ours(_canonical(text))


class _Cleaner:
    def __init__(self, rules: ReceiverRules, ours: Callable[[str], bool], pseudonyms: Pseudonyms) -> None:
        self._rules, self._ours, self._pseudonyms = rules, ours, pseudonyms
        self.replaced: set[str] = set()
        self.cut: set[str] = set()

    def value(self, value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return self._text(self._excerpt(value, key))
        if isinstance(value, Mapping):
            return {self._text(str(name)): self.value(item, str(name)) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(item, key) for item in value]
        return value

    def _excerpt(self, text: str, key: str) -> str:
        """Traffic, cut to what may leave (characters of printable text, of base64 as many as that many octets)."""
        if key not in PAYLOAD:
            return text
        most = self._rules.payload
        if key in {"payload", "packet", "http_body"}:
            most = (most // 3) * 4
        if len(text) > most:
            self.cut.add(key)
        return text[:most]

    def _text(self, text: str) -> str:
        return text if self._rules.internal == "clear" else _ADDRESS.sub(self._replaced, text)

    def _replaced(self, found: re.Match[str]) -> str:
        address = _canonical(found[0])
        if not address or not self._ours(address):
            return found[0]
        self.replaced.add(address)
        return DROPPED if self._rules.internal == "drop" else self._pseudonyms.of(address)


def _canonical(text: str) -> str:
    """The address that a text is, IPv4-mapped ones as IPv4; "" for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _label(given: Any, labels: tuple[str, ...], most: str, kind: str, receiver: str) -> str:
    """The report's label. RefusedError for one that is none, or that this receiver may not have."""
    if given not in labels:
        raise RefusedError(f"the report's {kind} label is none: write one of {', '.join(labels)}", entry=kind)
    if labels.index(given) < labels.index(most):
        named = receiver or "the coordinating centre"
        raise RefusedError(f"{kind}:{given} is not for {named}, which may have {kind}:{most} at most", entry=kind)
    return str(given)
