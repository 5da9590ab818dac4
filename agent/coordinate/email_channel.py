"""Reports by e-mail: the document as an attachment. That the mail server took it is no acknowledgement.

A person records the receiver's answer (``tapwarden report acknowledge``).
"""

import hashlib

from tapwarden.agent.coordinate.drop import ENDINGS, file_name
from tapwarden.agent.coordinate.mail import Attachment, Mailer
from tapwarden.agent.coordinate.smime import Smime
from tapwarden.model.report import Receipt, Report


class EmailChannel:
    """The channel ``email``. A report sent again has the same Message-ID, by which mail systems know it.

    With ``smime`` the message is signed or encrypted, and its subject says nothing of what happened.
    """

    name = "email"

    def __init__(self, mailer: Mailer, to: str, smime: Smime | None = None) -> None:
        self._mailer, self._to, self._smime = mailer, to, smime

    def send(self, report: Report, payload: bytes, media_type: str) -> Receipt | None:
        """See the port; always None."""
        drill = report.body.get("drill") is True
        title = str(report.body.get("title", "")) or report.incident_id
        ending = ENDINGS.get(media_type.partition(";")[0], "bin")
        digest = hashlib.sha256(payload).hexdigest()
        prefix = "[DRILL] " if drill else ""
        name = file_name(report.id)
        stage = report.stage_id or report.stage.value
        self._mailer.send(
            message_id=f"report.{name}.v{report.version}",
            to=[self._to],
            subject=f"{prefix}{stage} report {report.id}" + ("" if self._smime else f": {title}"),
            text=(
                f"{prefix}Attached: the {stage} report of incident {report.incident_id}.\n"
                f"Report {report.id}, version {report.version}, TLP:{report.body.get('tlp', 'AMBER')}\n"
                f"SHA-256 of the attachment: {digest}\n\n"
                "Please answer with your receipt number: only that meets the reporting deadline.\n"
            ),
            at=report.created_at,
            attachments=[Attachment(f"report-{name}-v{report.version}.{ending}", media_type, payload)],
            smime=self._smime,
            headers=[("X-Tapwarden-Report", report.id), *([("X-Tapwarden-Drill", "yes")] if drill else [])],
        )
        return None
