"""The report as a JSON document."""

import json

from tapwarden.model.incident import Incident
from tapwarden.model.report import Report


class JsonFormatter:
    """The report's body as canonical JSON (sorted keys, UTF-8), so that the same report gives the same octets.

    Carries the version and who signed it off; raises ValueError for a body that JSON cannot carry.
    """

    name = "json"
    media_type = "application/json"

    def format(self, report: Report, incident: Incident) -> bytes:
        """The document. What identifies the report is taken from the report, whatever an editor made of the body."""
        document = {
            **report.body,
            "report_id": report.id,
            "incident_id": incident.id,
            "stage": report.stage.value,
            "drill": incident.drill,
            "version": report.version,
            "signed_off_by": report.signed_off_by or "unknown",
        }
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode("utf-8", "replace")
