"""Composition of reporting: profiles and clocks, the people told of them, receivers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import SystemRandom

from tapwarden.agent.centre import FORMATS, channel_settings
from tapwarden.agent.clockwork import ClockRules
from tapwarden.agent.config import Config, Layout
from tapwarden.agent.config.reporting import Privacy, Receiver, Smtp
from tapwarden.agent.coordinate.channels import CHANNELS
from tapwarden.agent.coordinate.drop import DropChannel
from tapwarden.agent.coordinate.email_channel import EmailChannel
from tapwarden.agent.coordinate.mail import Mailer, MailSettings
from tapwarden.agent.coordinate.notify import MailNotifier, NoticeQueue, WebhookNotifier
from tapwarden.agent.coordinate.outbox import Outbox
from tapwarden.agent.coordinate.route import Route
from tapwarden.agent.coordinate.smime import Smime
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.report.gate import PrivacyGate, ReceiverRules
from tapwarden.agent.report.profile import Profile, read_profiles, shipped_profiles
from tapwarden.agent.report.pseudonym import Pseudonyms, master_key
from tapwarden.agent.report.workdays import Calendar, read_calendar
from tapwarden.agent.secret import read_token
from tapwarden.model.errors import ConfigError
from tapwarden.model.ports import CaseStore, Channel, Clock, Formatter, Notifier


def profiles_of(config: Config, layout: Layout) -> Mapping[str, Profile]:
    """The shipped profiles with the configured ones. Raises ConfigError."""
    shipped = shipped_profiles()
    if not config.reporting.profiles_file:
        return shipped
    path = layout.setting(config.reporting.profiles_file)
    return {**shipped, **read_profiles(_text(path, "reporting.profiles_file"), str(path), shipped)}


def clock_rules_of(config: Config, layout: Layout) -> ClockRules:
    """Whose clocks run, by which calendar, and who is told. Raises ConfigError."""
    settings, profiles = config.reporting, profiles_of(config, layout)
    for name in (settings.profile, *settings.also, *(one for each in settings.receivers for one in each.profiles)):
        if name not in profiles:
            known = ", ".join(sorted(profiles))
            raise ConfigError(f"there is no profile {name}; known: {known}", key="reporting.profile")
    calendar = Calendar()
    if settings.calendar_file:
        path = layout.setting(settings.calendar_file)
        calendar = read_calendar(_text(path, "reporting.calendar_file"), str(path))
    everybody = tuple(person.name for person in settings.people)
    told = settings.escalate
    return ClockRules(
        main=profiles[settings.profile],
        also=[profiles[name] for name in settings.also if name != settings.profile],
        calendar=calendar,
        escalation={
            50: told.at_50 or everybody,
            75: told.at_75 or everybody,
            90: told.at_90 or everybody,
            100: told.overdue or everybody,
        },
    )


def mailer_of(config: Config, layout: Layout) -> Mailer | None:
    """The mail server, as configured. Raises ConfigError."""
    smtp = config.reporting.smtp
    if not smtp.host:
        return None
    secret = smtp.password_file
    password = read_token(layout.setting(secret), "reporting.smtp.password_file") if secret else ""
    ca_file = str(layout.setting(smtp.ca_file)) if smtp.ca_file else ""
    return Mailer(MailSettings(smtp.host, smtp.port, smtp.security, smtp.sender, smtp.user, password, ca_file))


def notices_of(config: Config, cases: CaseStore, clock: Clock, mailer: Mailer | None) -> NoticeQueue:
    """What tells people. Raises ConfigError."""
    people = config.reporting.people
    mails = {person.name: person.email for person in people if person.email}
    hooks = {person.name: person.webhook for person in people if person.webhook}
    notifiers: list[Notifier] = []
    if mailer is not None and mails:
        notifiers.append(MailNotifier(mailer, mails))
    if hooks:
        notifiers.append(WebhookNotifier(hooks))
    return NoticeQueue(cases, notifiers, _reached(mails, hooks), clock=clock, random=SystemRandom())


def gate_of(name: str, privacy: Privacy, master: Callable[[], bytes], ours: Callable[[str], bool]) -> PrivacyGate:
    """The privacy gate before one receiver ("" for the coordinating centre)."""
    rules = ReceiverRules(name, privacy.tlp, privacy.pap, frozenset(privacy.fields), privacy.internal, privacy.payload)
    return PrivacyGate(rules, ours, lambda epoch: Pseudonyms(master(), name, epoch))


def pseudonym_key(layout: Layout) -> bytes:
    """The key all pseudonyms come from. Raises StoreError."""
    return master_key(layout.state("pseudonym.key"))


def outbox_of(
    config: Config,
    layout: Layout,
    cases: CaseStore,
    clock: Clock,
    mailer: Mailer | None,
    ours: Callable[[str], bool],
    *,
    obstacle: Callable[[], str],
    followed: Callable[[str], object],
) -> Outbox | None:
    """The outbox to the coordinating centre and the other receivers; None where there is neither. ConfigError."""
    settings = config.reporting
    coordinator = settings.coordinator
    if not coordinator.url and not settings.receivers:
        return None

    def master() -> bytes:
        return pseudonym_key(layout)

    routes = [
        Route(
            receiver.name,
            _channel_of(receiver, settings.smtp, layout, mailer),
            _formatter(receiver.format, receiver.language, f"reporting.receivers.{receiver.name}.format"),
            gate_of(receiver.name, receiver.privacy, master, ours),
        )
        for receiver in settings.receivers
    ]
    centre = CHANNELS[coordinator.channel](channel_settings(config, layout)) if coordinator.url else None
    return Outbox(
        cases,
        centre,
        _formatter(FORMATS[coordinator.channel], "en", "reporting.coordinator.channel"),
        clock=clock,
        random=SystemRandom(),
        obstacle=obstacle,
        followed=followed,
        gate=gate_of("", settings.privacy, master, ours),
        routes=routes,
    )


def _channel_of(receiver: Receiver, smtp: Smtp, layout: Layout, mailer: Mailer | None) -> Channel:
    if receiver.channel == "drop":
        return DropChannel(layout.state(receiver.folder), receiver.name)
    if mailer is None:
        raise ConfigError("a receiver is to be mailed: set reporting.smtp.host", key="reporting.smtp.host")
    if not smtp.smime_certificate and not receiver.smime_certificate:
        return EmailChannel(mailer, receiver.to)

    def file(name: str) -> Path | None:
        return layout.setting(name) if name else None

    smime = Smime(
        certificate=file(smtp.smime_certificate), key=file(smtp.smime_key), to=file(receiver.smime_certificate)
    )
    return EmailChannel(mailer, receiver.to, smime)


def _formatter(name: str, language: str, key: str) -> Formatter:
    named = f"{name}-{language}" if language != "en" else name
    found = FORMATTERS.get(named) or FORMATTERS.get(name)
    if found is None:
        raise ConfigError(f"there is no format {name}; there are {', '.join(FORMATTERS)}", key=key)
    return found


def _reached(*addresses: Mapping[str, str]) -> frozenset[str]:
    return frozenset(person for known in addresses for person in known)


def _text(path: Path, key: str) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise ConfigError(f"{path}: {reason}", key=key) from error
