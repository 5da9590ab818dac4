"""How grave an incident is: four levels in each scheme, from its facts, by thresholds that are data."""

from collections.abc import Mapping, Sequence
from importlib import resources

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tapwarden.model.errors import ConfigError
from tapwarden.model.incident import FACTS, Grade

Facts = Mapping[str, str | int | bool]


class Condition(BaseModel):
    """One condition on one fact: ``at_least`` or ``over`` a number, or ``is`` a value."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fact: str
    at_least: int | None = None
    over: int | None = None
    equals: bool | str | None = Field(default=None, alias="is")

    @model_validator(mode="after")
    def _one(self) -> "Condition":
        if self.fact not in FACTS:
            raise ValueError(f"there is no fact {self.fact}")
        if sum(value is not None for value in (self.at_least, self.over, self.equals)) != 1:
            raise ValueError("write one of at_least, over, is")
        return self

    def holds(self, facts: Facts) -> bool:
        """Whether the fact is known and as asked."""
        value = facts.get(self.fact)
        if self.equals is not None:
            return value == self.equals
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return value >= self.at_least if self.at_least is not None else value > (self.over or 0)


class Level(BaseModel):
    """One level of a scheme: 1 is the gravest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: int = Field(ge=1, le=4)
    word: str
    colour: str
    any: tuple[Condition, ...] = Field(min_length=1)


class Scheme(BaseModel):
    """A scheme of grades; from ``reportable_from`` on (1 gravest) its authority wants to be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    reportable_from: int = Field(ge=1, le=4)
    levels: tuple[Level, ...]


def shipped_schemes() -> Sequence[Scheme]:
    """The schemes that come with the package."""
    return read_schemes(resources.files(__package__).joinpath("grading.yaml").read_text("utf-8"), "grading.yaml")


def read_schemes(text: str, path: str) -> Sequence[Scheme]:
    """Schemes from YAML text. Raises ConfigError."""
    try:
        return TypeAdapter(tuple[Scheme, ...]).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigError(str(error), path=path) from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(first["msg"], path=path, key=".".join(map(str, first["loc"]))) from error


def grade(facts: Facts, scheme: Scheme) -> Grade:
    """The gravest level of which a condition holds."""
    for level in sorted(scheme.levels, key=lambda one: one.level):
        held = tuple(one.fact for one in level.any if one.holds(facts))
        if held:
            return Grade(scheme.id, level.level, level.word, level.colour, held, level.level <= scheme.reportable_from)
    return Grade(scheme.id)


def grades(facts: Facts, schemes: Sequence[Scheme]) -> Mapping[str, Grade]:
    """The grade in each scheme, by its id."""
    return {scheme.id: grade(facts, scheme) for scheme in schemes}
