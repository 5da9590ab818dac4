"""What a report has to say to be accepted: the fields of the ``generic-24h`` profile, by stage."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:/@+-]+$")]
Unknown = Literal["unknown"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow")

    report_id: Id


class EarlyReport(_Document):
    """The early report: every key present, ``unknown`` allowed wherever something may not be known yet."""

    stage: Literal["early"]
    reporter: Text
    detected_at: AwareDatetime
    category: Text | dict[str, Any]
    severity: Literal["critical", "high", "medium", "low", "info", "unknown"]
    summary: Text
    affected: Unknown | Annotated[list[Text], Field(max_length=10_000)]
    measures_taken: Text | Annotated[list[Any], Field(max_length=10_000)]
    contact: Annotated[dict[str, Text], Field(min_length=1)]
    tlp: Literal["RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR"]


class UpdateReport(_Document):
    """What changed since the report it refers to."""

    stage: Literal["update"]
    prior_ref: Id
    changes: Text | list[Any]


class FinalReport(_Document):
    """The report after closing."""

    stage: Literal["final"]
    prior_ref: Id
    root_cause: Text
    timeline: Unknown | list[Any]
    impact: Text | dict[str, Any]
    measures_taken: Text | list[Any]
    lessons: Text


_REPORT: TypeAdapter[EarlyReport | UpdateReport | FinalReport] = TypeAdapter(
    Annotated[EarlyReport | UpdateReport | FinalReport, Field(discriminator="stage")]
)


def check(content: bytes) -> EarlyReport | UpdateReport | FinalReport:
    """The report in a JSON text. Raises ValueError that names each key and what is wrong with it."""
    try:
        return _REPORT.validate_json(content)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'document'}: {each['msg']}" for each in error.errors()[:20]]
        raise ValueError("; ".join(wrong)) from None
