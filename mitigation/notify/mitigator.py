"""Notices: one message to each who answers for the target, in effect once everybody's server or receiver took it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tapwarden.mitigation.notify.letter import Matter, Sender, plain, write
from tapwarden.mitigation.notify.mail import Mail
from tapwarden.mitigation.notify.messages import Message, Messages, MessageState, message_id
from tapwarden.mitigation.notify.recipient import Recipient, responsible
from tapwarden.mitigation.notify.reply import ReplyTokens
from tapwarden.mitigation.notify.webhook import WebhookTransport
from tapwarden.mitigation.target import normalise
from tapwarden.mitigation.wanted import Entry, Wanted
from tapwarden.model.decision import Action, Installed, Measure, Target, TargetType
from tapwarden.model.errors import ChannelError, MitigationError

log = logging.getLogger(__name__)

LOOK_S = 0.5
AT_ONCE = 50
RETRY_FIRST_S, RETRY_MOST_S = 30.0, 3600.0
"""Pauses between attempts, doubled from the first to the most; until the action expires."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How messages travel; None where a way is not configured."""

    mail: Mail | None = None
    webhook: WebhookTransport | None = None


class Notify:
    """Sends between ``start`` and ``stop``; what is asked for meanwhile, or by another process, waits in a file.

    ``reply_url`` is the beginning of reply links (``https://tapwarden.example.org/reply/``), "" for none. At most
    ``per_hour`` messages are handed over in an hour; the others wait.
    """

    name = "notify"
    measures = frozenset({Measure.NOTIFY})
    target_types = frozenset(TargetType) - {TargetType.CONNECTION}

    def __init__(
        self,
        *,
        folder: Path,
        recipients: Sequence[Recipient],
        ways: Ways,
        sender: Sender,
        reply_url: str = "",
        per_hour: int = 60,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._recipients, self._ways, self._sender = tuple(recipients), ways, sender
        self._reply_url, self._per_hour, self._clock = reply_url, per_hour, clock
        self._wanted = Wanted(folder, self.name, self.measures, clock)
        self.messages = Messages(folder)
        self.tokens = ReplyTokens.at(folder)
        self._thread: threading.Thread | None = None
        self._stopping, self._changed = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin to send, in a thread of its own."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._keep, name="notify", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what waits, waits."""
        self._stopping.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(30)
        if self._ways.webhook is not None:
            self._ways.webhook.close()

    def apply(self, actions: Sequence[Action], now: datetime) -> None:
        """Queue the notices. MitigationError where nobody may be told, or nobody answers for a target."""
        for action in actions:
            if action.measure in self.measures:
                self._addressees(normalise(action.target))
        for entry in self._wanted.put(actions, now):
            self.messages.again(entry.action_id)
        self._changed.set()

    def withdraw(self, actions: Sequence[Action]) -> None:
        """Send no more about these; who was told already is told that it is taken back, unless its time was over."""
        keys = {(action.measure, normalise(action.target)) for action in actions}
        gone = [entry for entry in self._wanted.entries() if entry.key in keys]
        self._wanted.remove(keys)
        for entry in gone:
            told = self.messages.cancel(entry.action_id)
            self.messages.add([self._message(entry, one.recipient, answers=one.id) for one in told])
        self._changed.set()

    def list(self) -> Sequence[Installed]:
        """The notices: ``effective`` where every message was taken, ``failed`` where one was refused for good."""
        now, entries = self._clock(), self._wanted.entries()
        messages = self.messages.of([entry.action_id for entry in entries])
        return [self._installed(entry, messages[entry.action_id], now) for entry in entries]

    def clear(self) -> None:
        """Want no notice; nothing is sent about it."""
        for entry in self._wanted.entries():
            self.messages.cancel(entry.action_id)
        self._wanted.clear()

    def send_due(self) -> None:
        """Queue what is wanted, hand over what is due. The thread does it again and again. Raises MitigationError."""
        now = self._clock()
        self._wanted.expire()
        self.messages.forget(now)
        for entry in self._wanted.entries():
            self.messages.add([self._message(entry, one.name) for one in self._addressees(entry.target)])
        room = self._per_hour - self.messages.taken_since(now - 3600)
        for message in self.messages.due(now, most=max(0, min(room, AT_ONCE))):
            self._send(message, now)

    # steps

    def _addressees(self, target: Target) -> Sequence[Recipient]:
        """Who is told. MitigationError where nobody is, and why."""
        if not self._sender.pap.lets_others_be_told:
            raise MitigationError(f"PAP:{self._sender.pap} lets nobody else be told")
        found = responsible(target, self._recipients)
        if not found:
            raise MitigationError(f"no recipient answers for {target.type.value} {target.value}")
        trusted = [one for one in found if self._sender.tlp.reaches(one.most)]
        if not trusted:
            names = ", ".join(f"{one.name} (up to TLP:{one.most})" for one in found)
            raise MitigationError(f"TLP:{self._sender.tlp} may not go to {names}")
        return trusted

    def _message(self, entry: Entry, recipient: str, *, answers: str = "") -> Message:
        return Message(
            id=message_id(entry.action_id, recipient, withdrawal=bool(answers)),
            action=entry.action_id,
            incident=entry.incident_id,
            recipient=recipient,
            type=entry.target.type.value,
            value=entry.target.value,
            reason=entry.reason,
            answers=answers,
            state=MessageState.WAITING,
            created_at=self._clock(),
            until=entry.ends_at,
        )

    def _send(self, message: Message, now: float) -> None:
        recipient = next((one for one in self._recipients if one.name == message.recipient), None)
        try:
            if recipient is None:
                raise ChannelError(f"{message.recipient} is not configured any more", permanent=True)
            said = self._hand_over(message, recipient, datetime.fromtimestamp(now, UTC))
        except ChannelError as problem:
            said = plain(str(problem), 300)
            log.warning("event=notice_failed recipient=%s permanent=%s", message.recipient, problem.permanent)
            if problem.permanent:
                self.messages.settle(message.id, MessageState.REFUSED, said, now)
            else:
                pause_s = min(RETRY_FIRST_S * 2 ** min(message.attempts, 10), RETRY_MOST_S)
                self.messages.postpone(message.id, said, now + pause_s)
        else:
            log.info("event=notice_taken recipient=%s message=%s", message.recipient, message.id)
            self.messages.settle(message.id, MessageState.TAKEN, said, now)

    def _hand_over(self, message: Message, recipient: Recipient, at: datetime) -> str:
        link = f"{self._reply_url}{self.tokens.make(message.id, message.until)}" if self._reply_url else ""
        target = Target(TargetType(message.type), message.value)
        until = datetime.fromtimestamp(message.until, UTC)
        matter = Matter(message.id, message.incident, target, message.reason, at, until, bool(message.answers))
        letter = write(matter, recipient.name, recipient.kind, recipient.language, self._sender, link)
        if recipient.email:
            if self._ways.mail is None:
                raise ChannelError("no mail server is configured")
            return self._ways.mail.send(
                message_id=message.id,
                to=[recipient.email],
                subject=plain(letter.subject, 200),
                text=letter.text,
                at=at,
                answers=message.answers,
            )
        if self._ways.webhook is None:
            raise ChannelError("no webhook is configured")
        document = {
            "id": message.id,
            "withdraws": message.answers,
            "incident": message.incident,
            "target": {"type": message.type, "value": message.value},
            "observed": plain(message.reason, 1000),
            "at": at.isoformat(),
            "until": until.isoformat(),
            "tlp": self._sender.tlp.value,
            "pap": self._sender.pap.value,
            "from": self._sender.organisation,
            "contact": self._sender.contact,
            "reply": link,
            "subject": letter.subject,
            "text": letter.text,
        }
        return self._ways.webhook.send(recipient.webhook, document, message.id, at)

    def _installed(self, entry: Entry, messages: Sequence[Message], now: float) -> Installed:
        taken = bool(messages) and all(one.state in (MessageState.TAKEN, MessageState.ANSWERED) for one in messages)
        refused = any(one.state is MessageState.REFUSED for one in messages)
        note = "; ".join(_note(one) for one in messages) or "waits to be sent"
        return Installed(
            entry.target,
            entry.measure,
            expires_in_s=entry.ends_at - now,
            effective=taken,
            failed=refused,
            note=note[:1000],
        )

    def _keep(self) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            try:
                self.send_due()
            except MitigationError as problem:
                log.warning("event=notify_failed problem=%r", str(problem))
                self._stopping.wait(5)
            self._changed.wait(LOOK_S)


def _note(message: Message) -> str:
    when = f"{datetime.fromtimestamp(message.next_at, UTC):%H:%M:%S} UTC"
    words = {
        MessageState.WAITING: f"attempt {message.attempts} failed ({message.said}), again at {when}"
        if message.attempts
        else "waits to be sent",
        MessageState.TAKEN: f"taken by {message.said}",
        MessageState.REFUSED: f"refused by {message.said}",
        MessageState.CANCELLED: "not sent",
        MessageState.ANSWERED: f"answered: {message.said}",
    }
    return f"{message.recipient}: {words[message.state]}"
