"""What came in by TAXII, to where it belongs: reports to the register, feedback to orders, answers to queries."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tapwarden.agent.coordinator.collections import Shown
from tapwarden.agent.coordinator.docket import Docket
from tapwarden.agent.coordinator.identity import Caller
from tapwarden.agent.coordinator.inquiry import Inquiry
from tapwarden.agent.coordinator.register import Register
from tapwarden.agent.orders import document

log = logging.getLogger(__name__)


class Intake:
    """Sorts accepted objects. An object that belongs nowhere stays on the shelf and is logged."""

    def __init__(self, register: Register, docket: Docket, inquiry: Inquiry) -> None:
        self._register, self._docket, self._inquiry = register, docket, inquiry

    def take(self, caller: Caller, collection: Shown, things: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Objects that a collection accepted."""
        for thing in things:
            if collection.kind == "reports-in" and thing.get("type") == "incident":
                said = report_of(thing)
                content = json.dumps(thing, ensure_ascii=False).encode("utf-8", "replace")
                self._register.receive(caller.name, said["report_id"], said["stage"], content, now)
                continue
            feedback, answer = document.of_stix(thing, "feedback"), document.of_stix(thing, "answer")
            if collection.kind == "feedback-in" and feedback is not None:
                known = self._docket.take_feedback(caller.name, feedback["feedback"], now)
            elif collection.kind == "answers-in" and answer is not None:
                known = self._inquiry.take_answer(caller.name, answer["answer"], now)
            else:
                continue
            if not known:
                log.warning(
                    "agent=%s collection=%s object=%s: about nothing we said", caller.name, collection.kind, thing["id"]
                )


def report_of(thing: Mapping[str, Any]) -> dict[str, str]:
    """Which report an incident object is: by our extension of it, else by its own id, an early one."""
    extensions = thing.get("extensions")
    for extension in extensions.values() if isinstance(extensions, Mapping) else ():
        if isinstance(extension, Mapping) and isinstance(extension.get("report_id"), str):
            return {"report_id": extension["report_id"][:128], "stage": str(extension.get("stage", "early"))[:40]}
    return {"report_id": str(thing["id"]), "stage": "early"}
