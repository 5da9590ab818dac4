"""Notices to those who can put something right: a provider, the owner of a host, an authority."""

from tapwarden.mitigation.notify.label import Pap, Tlp
from tapwarden.mitigation.notify.letter import Sender
from tapwarden.mitigation.notify.mail import Mail
from tapwarden.mitigation.notify.mitigator import Notify, Ways
from tapwarden.mitigation.notify.recipient import Recipient
from tapwarden.mitigation.notify.reply import ReplyTokens
from tapwarden.mitigation.notify.webhook import WebhookTransport

__all__ = [
    "Mail",
    "Notify",
    "Pap",
    "Recipient",
    "ReplyTokens",
    "Sender",
    "Tlp",
    "Ways",
    "WebhookTransport",
]
