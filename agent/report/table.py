"""The report as CSV (RFC 4180): a row for each thing it names, for spreadsheets."""

import csv
import io
from collections.abc import Iterator

from tapwarden.agent.report.document import Document, read_document, rfc3339
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

COLUMNS = (
    "report_id",
    "incident_id",
    "stage",
    "drill",
    "tlp",
    "class",
    "subtype",
    "severity",
    "role",
    "kind",
    "value",
    "count",
    "first_seen",
    "last_seen",
    "text",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvFormatter:
    """The format ``csv``."""

    name = "csv"
    media_type = "text/csv; charset=utf-8"

    def format(self, report: Report, incident: Incident) -> bytes:
        """Header and rows; cells that a spreadsheet would compute begin with an apostrophe."""
        _ = incident
        doc = read_document(report)
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        fixed = [doc.report_id, doc.incident_id, doc.stage_id, "yes" if doc.drill else "no", doc.tlp]
        fixed += [doc.threat_class, doc.subtype or "unknown", doc.severity or "unknown"]
        for row in _rows(doc):
            writer.writerow([_cell(value) for value in (*fixed, *row)])
        return text.getvalue().encode("utf-8", "replace")


def _rows(doc: Document) -> Iterator[tuple[object, ...]]:
    yield (
        "incident",
        "text",
        doc.title,
        doc.alert_count,
        rfc3339(doc.occurred_at),
        rfc3339(doc.detected_at),
        doc.summary,
    )
    for role, found in (("indicator", doc.indicators), ("affected", doc.affected)):
        for one in found:
            yield role, one.kind, one.value, "", "", "", ""
    for alert in doc.alerts:
        sides = f"{alert.source.value} > {alert.destination.value}"
        first, last = rfc3339(alert.first_seen), rfc3339(alert.last_seen)
        yield "alert", "sid", alert.sid, alert.count, first, last, f"{alert.signature} {sides}"
    for measure in doc.measures:
        text = f"{measure.effect}; {measure.authority}: {measure.legal_basis}"
        yield "measure", measure.measure, measure.target.value, "", rfc3339(measure.at), "", text


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
