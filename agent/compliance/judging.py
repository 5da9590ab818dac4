"""A requirement and who judges it."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tapwarden.agent.compliance.facts import Facts
from tapwarden.model.office import Requirement, Standing

Judgement = tuple[Standing, str]
"""How it stands, and the evidence."""


class Rule(NamedTuple):
    """One requirement: its number, its source, what it asks, and the function that judges it."""

    id: str
    source: str
    text: str
    judge: Callable[[Facts], Judgement]


def examine(rules: Sequence[Rule], facts: Facts) -> list[Requirement]:
    """One line for each rule."""
    return [Requirement(rule.id, rule.source, rule.text, *rule.judge(facts)) for rule in rules]


def met(good: bool, evidence: str, *, otherwise: Standing = Standing.NOT_MET) -> Judgement:
    """Met, or otherwise."""
    return (Standing.MET if good else otherwise), evidence


def listed(names: Sequence[str], none: str) -> str:
    """Names as a text, or what to say where there are none."""
    return ", ".join(names) if names else none
