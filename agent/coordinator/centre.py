"""The centre itself: its register, its docket, what it asks, all on one database and one shelf."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tapwarden.agent.coordinator.collections import shelf_name
from tapwarden.agent.coordinator.database import Database
from tapwarden.agent.coordinator.docket import Docket, Issued
from tapwarden.agent.coordinator.inquiry import Asked, Inquiry
from tapwarden.agent.coordinator.intake import Intake
from tapwarden.agent.coordinator.register import Determination, Register
from tapwarden.agent.coordinator.settings import CoordinatorSettings
from tapwarden.agent.coordinator.shelf import Shelf
from tapwarden.agent.orders import document
from tapwarden.agent.orders.gate import check_category
from tapwarden.agent.orders.refusal import Refusal
from tapwarden.agent.orders.writing import Issuer, Wording
from tapwarden.agent.store.evidence.signing import SigningKey
from tapwarden.model.decision import Measure, Target


def signing_key(settings: CoordinatorSettings) -> SigningKey:
    """The key that orders are signed with; beside the database where none is named. Raises StoreError."""
    if settings.signing_key is not None:
        return SigningKey.at(settings.signing_key)
    if "://" in str(settings.database):
        return SigningKey.at(Path("coordinator-order.key"))
    return SigningKey.at(Path(settings.database).with_suffix(".order-key"))


class Centre:
    """What the interfaces (API, TAXII, pages) do. Raises StoreError when the database cannot be opened."""

    def __init__(self, settings: CoordinatorSettings) -> None:
        self.name, self.agents = settings.name, tuple(settings.agents)
        self._database = Database(settings.database)
        key = signing_key(settings)
        self.public_key = key.public
        self.shelf = Shelf(self._database)
        self.register = Register(self._database)
        self.docket = Docket(self._database, self.shelf, Issuer(settings.name, key.sign))
        self.inquiry = Inquiry(self._database, self.shelf, settings.name)
        self.intake = Intake(self.register, self.docket, self.inquiry)

    def close(self) -> None:
        """Give the database back."""
        self._database.close()

    def issue(
        self, agent: str, wanted: Sequence[tuple[Measure, Target]], wording: Wording, *, by: str, now: datetime
    ) -> Issued:
        """Order measures. Raises KeyError for an agent that is none, ValueError for what may not be ordered."""
        self._known(agent)
        try:
            check_category(wording.category)
            return self.docket.issue(agent, wanted, wording, by=by, now=now)
        except Refusal as refusal:
            raise ValueError(refusal.text) from refusal

    def ask(self, agent: str, question: Mapping[str, Any], *, by: str, now: datetime) -> Asked:
        """Ask an agent. Raises KeyError."""
        self._known(agent)
        return self.inquiry.ask(agent, question, by=by, now=now)

    def determine(self, receipt: str, found: Determination, now: datetime) -> Determination:
        """Determine a report and tell its agent. Raises KeyError, ValueError."""
        report = self.register.report(receipt)
        if report is None:
            raise KeyError(receipt)
        self.register.determine(report, found)
        content = {
            "report_id": report.report_id,
            "receipt": receipt,
            "state": found.state.value,
            "by": found.by,
            "at": document.stamp(found.at),
            "reason": found.reason,
        }
        text = f"Report {report.report_id} ({receipt}): {found.state.value}: {found.reason}"
        thing = document.note(
            "determination",
            content,
            about=document.stix_id("incident", report.agent, report.report_id),
            text=text,
            at=now,
            names=(receipt, document.stamp(now)),
        )
        self.shelf.add(shelf_name(report.agent, "orders-out"), [thing], now)
        return found

    def _known(self, agent: str) -> None:
        if agent not in self.agents:
            raise KeyError(f"agent {agent}")
