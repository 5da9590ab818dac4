"""Settings of reporting: clocks, the people told of them, and receivers beside the coordinating centre."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from tapwarden.agent.config.section import Name, Section, Text

Mail = Annotated[str, StringConstraints(pattern=r"^[^\s<>@,;]{1,64}@[^\s<>@,;]{1,255}$")]
Secure = Annotated[
    str, StringConstraints(pattern=r"^(https://[^\s]+|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s]*)?)$")
]


class Person(Section):
    """Somebody who is told, by e-mail, by a webhook, or both."""

    name: Text
    email: Mail | Literal[""] = ""
    webhook: Secure | Literal[""] = ""

    @model_validator(mode="after")
    def _reachable(self) -> "Person":
        if not self.email and not self.webhook:
            raise ValueError(f"{self.name} cannot be told anything: give an email or a webhook")
        return self


class Escalation(Section):
    """Who is told when a clock has used this part of its time. Empty: everybody in ``people``."""

    at_50: tuple[Text, ...] = ()
    at_75: tuple[Text, ...] = ()
    at_90: tuple[Text, ...] = ()
    overdue: tuple[Text, ...] = ()


class Smtp(Section):
    """The mail server, and whom mail comes from."""

    host: str = ""
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password_file: str = ""
    sender: Mail | Literal[""] = ""
    ca_file: str = ""
    smime_certificate: str = ""
    smime_key: str = ""

    @model_validator(mode="after")
    def _whole(self) -> "Smtp":
        if self.host and not self.sender:
            raise ValueError("mail needs a sender, for example tapwarden@example.org")
        if bool(self.user) != bool(self.password_file):
            raise ValueError("give both user and password_file")
        if bool(self.smime_certificate) != bool(self.smime_key):
            raise ValueError("give both smime_certificate and smime_key")
        if self.security == "none" and self.host not in {"", "127.0.0.1", "::1", "localhost"}:
            raise ValueError("mail would cross the network readable: use starttls or tls, or a server on this host")
        return self


class Privacy(Section):
    """What a receiver may be given."""

    tlp: Literal["RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR"] = "AMBER"
    pap: Literal["RED", "AMBER", "GREEN", "CLEAR"] = "AMBER"
    fields: tuple[Text, ...] = ()
    internal: Literal["pseudonym", "clear", "drop"] = "pseudonym"
    payload: int = Field(default=0, ge=0, le=256)


class Receiver(Section):
    """Somebody who gets reports: all of some profiles, or copies."""

    name: Name
    channel: Literal["email", "drop"]
    to: Mail | Literal[""] = ""
    smime_certificate: str = ""
    folder: str = ""
    format: Name = "json"
    language: Literal["en", "zh"] = "en"
    profiles: tuple[Name, ...] = ()
    privacy: Privacy = Privacy()

    @model_validator(mode="after")
    def _somewhere(self) -> "Receiver":
        if self.channel == "email" and not self.to:
            raise ValueError("an e-mail receiver needs an address in to")
        if self.channel == "drop" and not self.folder:
            raise ValueError("a drop receiver needs a folder")
        return self
