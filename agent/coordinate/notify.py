"""Telling people: notices by e-mail and webhook, from the case store's queue until delivered."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import httpx

from tapwarden.agent.coordinate.mail import Mailer
from tapwarden.agent.coordinate.schedule import ERROR_MAX, Backoff
from tapwarden.model.errors import ChannelError
from tapwarden.model.notice import Notice
from tapwarden.model.ports import CaseStore, Clock, Notifier

log = logging.getLogger(__name__)

AT_ONCE = 100


class MailNotifier:
    """Tells by e-mail. ``addresses``: e-mail address by person."""

    name = "email"

    def __init__(self, mailer: Mailer, addresses: Mapping[str, str]) -> None:
        self._mailer, self._addresses = mailer, addresses

    def notify(self, notice: Notice) -> None:
        """See the port; people without an address here are left out."""
        to = [self._addresses[person] for person in notice.to if person in self._addresses]
        if not to:
            return
        headers = [("X-Tapwarden-Incident", notice.incident_id), ("X-Tapwarden-Level", notice.level)]
        if notice.drill:
            headers.append(("X-Tapwarden-Drill", "yes"))
        self._mailer.send(
            message_id=_token(notice.id),
            to=to,
            subject=notice.subject,
            text=notice.text,
            at=notice.created_at,
            headers=headers,
        )


class WebhookNotifier:
    """Tells by a POST of JSON. ``addresses``: URL by person."""

    name = "webhook"

    def __init__(self, addresses: Mapping[str, str], *, timeout_s: float = 10.0) -> None:
        self._addresses = addresses
        self._client = httpx.Client(timeout=timeout_s, follow_redirects=False, trust_env=False)

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def notify(self, notice: Notice) -> None:
        """See the port."""
        for person in notice.to:
            if person not in self._addresses:
                continue
            document = {
                "id": notice.id,
                "created_at": notice.created_at.isoformat(),
                "level": notice.level,
                "to": person,
                "subject": notice.subject,
                "text": notice.text,
                "incident_id": notice.incident_id,
                "drill": notice.drill,
            }
            headers = {"Content-Type": "application/json", "Idempotency-Key": _token(notice.id)}
            try:
                answer = self._client.post(self._addresses[person], content=json.dumps(document), headers=headers)
            except httpx.HTTPError as error:
                raise ChannelError(f"{type(error).__name__}: {error}") from error
            if not answer.is_success:
                raise ChannelError(f"answered {answer.status_code}")


@dataclass(frozen=True, slots=True)
class Told:
    """What one round did."""

    delivered: int = 0
    failed: int = 0


class NoticeQueue:
    """Delivers what waits in the case store. ``reached`` are the people any notifier has an address of."""

    def __init__(
        self,
        cases: CaseStore,
        notifiers: Sequence[Notifier],
        reached: frozenset[str],
        *,
        clock: Clock,
        random: Random,
        backoff: Backoff = Backoff(first_s=10.0, most_s=600.0),  # noqa: B008 - frozen
    ) -> None:
        self._cases, self._notifiers, self._reached = cases, notifiers, reached
        self._clock, self._random, self._backoff = clock, random, backoff

    def deliver_due(self) -> Told:
        """Tell everything that waits, each once. Raises StoreError."""
        told = Told()
        for notice in self._cases.notices(waiting_at=self._clock.now(), limit=AT_ONCE):
            error = self._tell(notice)
            now = self._clock.now()
            if error:
                later = now + self._backoff.delay(notice.attempts + 1, self._random)
                changed = replace(notice, next_attempt_at=later, last_error=error[:ERROR_MAX])
                told = replace(told, failed=told.failed + 1)
                log.warning("notice=%s failed error=%r", notice.id, error)
            else:
                changed = replace(notice, delivered_at=now, next_attempt_at=None, last_error="")
                told = replace(told, delivered=told.delivered + 1)
            self._cases.put_notice(replace(changed, attempts=notice.attempts + 1))
        return told

    def _tell(self, notice: Notice) -> str:
        """Why it was not delivered, or ""."""
        if not any(person in self._reached for person in notice.to):
            return "nobody named here has an address in reporting.people"
        for notifier in self._notifiers:
            try:
                notifier.notify(notice)
            except ChannelError as error:
                return f"{notifier.name}: {error}"
        return ""


def _token(notice_id: str) -> str:
    return hashlib.sha256(notice_id.encode()).hexdigest()[:40]
