"""What a notice says, in English or Chinese. Pure.

Target and reason may contain text that an attacker chose: names are defanged so that nobody clicks them, what is not
printable is taken out, nothing of it comes into a header other than the subject, and no line of it can look like ours.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tapwarden.mitigation.notify.label import Pap, Tlp
from tapwarden.model.decision import Target

MOST_REASON = 1000
MOST_SUBJECT = 150

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Matter:
    """What a notice is about."""

    message_id: str
    incident_id: str
    target: Target
    reason: str
    sent_at: datetime
    until: datetime
    withdrawal: bool = False


@dataclass(frozen=True, slots=True)
class Sender:
    """In whose name notices are written, and how they are labelled."""

    organisation: str
    contact: str
    tlp: Tlp = Tlp.AMBER
    pap: Pap = Pap.GREEN


@dataclass(frozen=True, slots=True)
class Letter:
    """A notice, written."""

    subject: str
    text: str


ASKS = {
    "en": {
        "provider": "Please examine the resource, stop its misuse, and tell us what you did.",
        "owner": "Please examine the host, remove the cause, and tell us what you found.",
        "authority": "This is for your information and, where you see fit, for your measures.",
    },
    "zh": {
        "provider": "请核查该资源,停止其恶意使用,并将处置结果反馈我方。",
        "owner": "请核查该主机,消除安全隐患,并将处置结果反馈我方。",
        "authority": "现将有关情况报告贵单位,请酌情采取处置措施。",
    },
}

WORDS = {
    "en": {
        "subject": "Security notice: {target}",
        "withdrawn": "Withdrawn: security notice about {target}",
        "greeting": "To {recipient}:",
        "about": "we have seen a threat that concerns a resource you answer for.",
        "taken_back": "our earlier notice about this resource is withdrawn. Nothing more needs to be done.",
        "resource": "Resource",
        "observed": "Observed",
        "incident": "Incident",
        "at": "Notice of",
        "until": "In force until",
        "reply": "Answer here, without an account",
        "from": "From",
        "contact": "Contact",
        "labels": "Labels",
        "defanged": "Names and addresses are written with [.] and hxxp so that nobody opens them by mistake.",
    },
    "zh": {
        "subject": "网络安全威胁处置通知:{target}",
        "withdrawn": "撤回:网络安全威胁处置通知 {target}",
        "greeting": "{recipient}:",
        "about": "我方监测发现与贵方负责的网络资源有关的安全威胁。",
        "taken_back": "此前就该资源发出的通知现予撤回,无需进一步处置。",
        "resource": "涉及资源",
        "observed": "监测情况",
        "incident": "事件编号",
        "at": "通知时间",
        "until": "有效期至",
        "reply": "请在此反馈处置结果(无需账号)",
        "from": "通知单位",
        "contact": "联系方式",
        "labels": "标记",
        "defanged": "为避免误点击,域名、网址和地址中使用了 [.] 和 hxxp。",
    },
}


def write(matter: Matter, recipient: str, kind: str, language: str, sender: Sender, reply_link: str) -> Letter:
    """The notice for one recipient."""
    words = WORDS[language]
    target = defanged(matter.target.value)
    subject = words["withdrawn" if matter.withdrawal else "subject"].format(target=target)
    labels = f"TLP:{sender.tlp}, PAP:{sender.pap}"
    lines = [words["greeting"].format(recipient=plain(recipient, 200)), ""]
    lines += [words["taken_back" if matter.withdrawal else "about"], ""]
    facts = {
        "resource": f"{matter.target.type.value} {target}",
        "observed": defanged(matter.reason, MOST_REASON),
        "incident": matter.incident_id,
        "at": f"{matter.sent_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
        "until": f"{matter.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC",
    }
    lines += [f"{words[name]}: {value}" for name, value in facts.items()]
    if not matter.withdrawal:
        lines += ["", ASKS[language][kind]]
        if reply_link:
            lines += ["", f"{words['reply']}:", reply_link]
    lines += ["", f"{words['from']}: {plain(sender.organisation, 200)}"]
    if sender.contact:
        lines.append(f"{words['contact']}: {plain(sender.contact, 300)}")
    lines += [f"{words['labels']}: {labels}", words["defanged"], ""]
    return Letter(f"[TLP:{sender.tlp}] {plain(subject, MOST_SUBJECT)}", "\n".join(lines))


def plain(text: str, most: int) -> str:
    """One line of printable text, of at most so many characters."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= most else f"{line[: most - 1]}…"


def defanged(text: str, most: int = 2000) -> str:
    """One printable line in which no address, name or URL is one to a program that makes links of them."""
    line = re.sub(r"(?i)\bhttp(s?)://", r"hxxp\1://", plain(text, most))
    line = re.sub(r"(?i)\bftp://", "fxp://", line)
    line = re.sub(r"(?<=[\w\]])\.(?=\w)", "[.]", line)
    line = line.replace("@", "[at]")
    return re.sub(r"(?<=[0-9a-fA-F]):(?=[0-9a-fA-F]{0,4}:)", "[:]", line)
