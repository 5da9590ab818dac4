"""Answers to notices: from a signed link to the incident's timeline (the port ReplyDesk)."""

from dataclasses import replace

from tapwarden.mitigation.notify import Notify
from tapwarden.mitigation.notify.letter import plain
from tapwarden.mitigation.notify.messages import Message, MessageState
from tapwarden.model.desks import ReplyAsked
from tapwarden.model.incident import TimelineEntry
from tapwarden.model.ports import CaseStore, Clock

ANSWERS = ("done", "examining", "not ours", "refused")
MOST_TEXT = 2000


class Replies:
    """Over the notices of one mitigator and the cases they are about."""

    def __init__(self, notify: Notify, cases: CaseStore, clock: Clock) -> None:
        self._notify, self._cases, self._clock = notify, cases, clock

    def asked(self, token: str) -> ReplyAsked | None:
        """See the port."""
        message = self._message(token)
        if message is None:
            return None
        answered = message.said if message.state is MessageState.ANSWERED else ""
        return ReplyAsked(message.recipient, f"{message.type} {message.value}", message.incident, answered)

    def reply(self, token: str, *, answer: str, text: str) -> bool:
        """See the port. A later answer stands beside the earlier ones in the timeline."""
        message, now = self._message(token), self._clock.now()
        if message is None or answer not in ANSWERS:
            return False
        said = f"{answer}: {plain(text, MOST_TEXT)}" if text.strip() else answer
        by = f"{message.recipient} (reply link)"
        with self._cases.transaction():
            incident = self._cases.incident(message.incident)
            if incident is not None:
                entry = TimelineEntry(now, "reply", f"{message.value}: {said}", by, recorded_at=now)
                self._cases.put_incident(replace(incident, timeline=(*incident.timeline, entry)))
            self._cases.audit(actor=by, verb="notice.reply", subject=message.action, detail=said, at=now)
        self._notify.messages.settle(message.id, MessageState.ANSWERED, said, now.timestamp())
        return True

    def _message(self, token: str) -> Message | None:
        message_id = self._notify.tokens.read(token, self._clock.now().timestamp())
        return self._notify.messages.one(message_id) if message_id else None
