"""Rules run over one capture: alerts by sid, or each look at a rule explained."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tapwarden.agent.cli.group import Failure
from tapwarden.agent.cli.output import print_table
from tapwarden.agent.cli.read import BATCH_PACKETS, load_rules
from tapwarden.agent.native import native

if TYPE_CHECKING:
    from tapwarden._core import CaptureFile, Engine, RuleSet

Look = dict[str, Any]
"""One explanation, as ``Engine.explanations`` has it."""

ELSEWHERE = ("header", "direction")
"""Stages of looks that say only that a packet is none of the rule's business: counted, not listed."""


@dataclass
class Trial:
    """A rule file, a capture, and the engine they meet in."""

    rules: "RuleSet"
    source: "CaptureFile"
    engine: "Engine"

    @classmethod
    def of(cls, rule_file: Path, capture: Path, config: str, *, verbose: int) -> "Trial":
        """Load both. Raises Failure when one cannot be."""
        rules = load_rules(config, [rule_file], verbose=verbose)
        assert rules is not None
        try:
            source = native("CaptureFile")(str(capture))
        except OSError as error:
            raise Failure(f"{capture}: cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise Failure(str(error)) from error
        return cls(rules, source, native("Engine")(config, rules))

    @property
    def problem(self) -> str:
        """Why reading the capture stopped early, "" when it did not."""
        return self.source.problem

    def not_loaded(self, sid: int) -> str:
        """Why there is no rule with this sid, "" when there is."""
        if sid in self.rules.sids:
            return ""
        for file, line, column, at, keyword, reason, _hint in (*self.rules.errors, *self.rules.warnings):
            if at == sid:
                return f"rule {sid} is not loaded: {file}:{line}:{column}: {keyword}: {reason}"
        return f"there is no rule with sid {sid}"

    def records(self) -> Iterator[dict[str, Any]]:
        """Run the whole capture; the alerts."""
        batches = iter(lambda: self.engine.read(self.source, BATCH_PACKETS), None)
        for batch in batches:
            assert batch is not None
            yield from _alerts(batch.lines())
        yield from _alerts(self.engine.drain().lines())


def _alerts(lines: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if b'"event_type":"alert"' in line:
            record = json.loads(line)
            if record["event_type"] == "alert":
                yield record


def summarise(trial: Trial) -> dict[str, Any]:
    """Alerts by sid, the most first: how many, on how many packets, when first."""
    counts: Counter[int] = Counter()
    packets: dict[int, set[int]] = {}
    first: dict[int, dict[str, Any]] = {}
    for record in trial.records():
        sid = record["alert"]["signature_id"]
        counts[sid] += 1
        packets.setdefault(sid, set()).add(record.get("pcap_cnt", 0))
        first.setdefault(sid, record)
    found = [
        {
            "sid": sid,
            "gid": first[sid]["alert"]["gid"],
            "rev": first[sid]["alert"]["rev"],
            "signature": first[sid]["alert"]["signature"],
            "alerts": count,
            "packets": len(packets[sid]),
            "first_packet": first[sid].get("pcap_cnt", 0),
            "first": first[sid]["timestamp"],
        }
        for sid, count in counts.most_common()
    ]
    return {"loaded": trial.rules.loaded, "failed": len(trial.rules.errors), "alerts": found}


def summary_shown(summary: dict[str, Any]) -> None:
    """The summary as a table."""
    columns = ("sid", "alerts", "packets", "first_packet", "first", "signature")
    rows = [[alert[column] for column in columns] for alert in summary["alerts"]]
    print_table([column.replace("_", " ") for column in columns], rows, empty="no rule alerts on this capture")
    click.echo(f"{summary['loaded']} rules loaded, {summary['failed']} not; {len(rows)} of them alert")


def explain(trial: Trial, sids: Sequence[int]) -> dict[str, Any]:
    """Every look at these rules, in the order of packets, and what failed first how often."""
    trial.engine.explain(list(sids))
    looks: list[Look] = []
    for _alert in trial.records():
        looks += _looks(trial.engine.explanations().lines())
    looks += _looks(trial.engine.explanations(all=True).lines())
    dropped = sum(look["dropped"] for look in looks if "dropped" in look)
    looks = sorted((look for look in looks if "sid" in look), key=lambda look: (look["timestamp"], look["packet"]))
    return {"looks": looks, "dropped": dropped}


def _looks(lines: Sequence[bytes]) -> list[Look]:
    return [json.loads(line) for line in lines]


def explanations_shown(sid: int, looks: Sequence[Look], *, limit: int) -> None:
    """Where the rule failed first, by how often; then the looks that came further than the header."""
    outcomes = Counter(look["outcome"] for look in looks)
    click.echo(
        f"rule {sid}: looked at {len(looks)} packets or transactions;"
        f" {outcomes['match']} match, {outcomes['silent']} match without an alert, {outcomes['no']} do not"
    )
    failed = Counter((look.get("stage", ""), look.get("condition", "")) for look in looks if look["outcome"] == "no")
    if failed:
        click.echo()
        rows = [(count, stage, condition) for (stage, condition), count in failed.most_common(20)]
        print_table(["times", "failed first", "condition"], rows, empty="")
    shown = [look for look in looks if look["outcome"] != "no" or look.get("stage") not in ELSEWHERE]
    listed = shown[:limit] if limit else shown
    if listed:
        click.echo()
        print_table(["packet", "tx", "from", "to", "outcome", "what", "why", "octets"], map(_row, listed), empty="")
    left = len(looks) - len(listed)
    if left:
        why = "-n 0 lists more, -o json all" if len(shown) > len(listed) else "-o json lists them"
        click.echo(f"{left} looks not listed ({len(looks) - len(shown)} failed at the header or direction; {why})")


def _row(look: Look) -> tuple[Any, ...]:
    ends = [
        f"{look[f'{side}_ip']}:{look[f'{side}_port']}" if look.get(f"{side}_port") else look.get(f"{side}_ip", "")
        for side in ("src", "dest")
    ]
    held = [f"{place['buffer']} {_span(place)} {place['condition']}" for place in look.get("held", ())]
    if look["outcome"] == "match":
        what, why = "", "; ".join(held) or "header and flow are all it asks for"
    else:
        what = ": ".join(part for part in (look.get("stage", ""), look.get("condition", "")) if part)
        why = look.get("reason", "") + (f" (held: {'; '.join(held)})" if held else "")
    return look["packet"] or "end", look.get("tx_id", ""), *ends, look["outcome"], what, why, look.get("octets", "")


def _span(place: dict[str, Any]) -> str:
    return f"{place['start']}-{place['end']}" if "start" in place else f"up to {place['end']}"
