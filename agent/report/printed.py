"""The report for people: a page that prints, in English or Chinese, and the same as PDF through Chromium."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment

from tapwarden.agent.report.document import Document, read_document
from tapwarden.model.incident import Incident
from tapwarden.model.report import Report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PRINT_S = 60.0
BARS_MAX = 12
_SHOWN = frozenset(
    {
        *("schema", "report_id", "incident_id", "stage", "stage_id", "profile", "drill", "created_at", "due_at"),
        *("reporter", "agent", "contact", "tlp", "pap", "title", "summary", "detected_at", "occurred_at", "category"),
        *("ownership", "severity", "grades", "determination", "affected", "indicators", "measures_taken", "evidence"),
        *("timeline", "version", "signed_off_by"),
    }
)
"""Keys with a place of their own on the page; others are listed below."""
_DATES = re.compile(rb"/(CreationDate|ModDate) \(D:\d{14}[^)]*\)")


class HtmlFormatter:
    """The formats ``html`` (English) and ``html-zh`` (Chinese): one file, no scripts, nothing fetched."""

    media_type = "text/html; charset=utf-8"

    def __init__(self, language: str) -> None:
        self._language = language
        self.name = "html" if language == "en" else f"html-{language}"

    def format(self, report: Report, incident: Incident) -> bytes:
        """The page."""
        _ = incident
        return page_of(read_document(report), self._language).encode("utf-8", "replace")


class PdfFormatter:
    """The formats ``pdf`` and ``pdf-zh``. Raises ValueError where no Chromium is installed or it does not print."""

    media_type = "application/pdf"

    def __init__(self, language: str) -> None:
        self._page = HtmlFormatter(language)
        self.name = "pdf" if language == "en" else f"pdf-{language}"

    def format(self, report: Report, incident: Incident) -> bytes:
        """The page as PDF; its dates are the report's, so that the same report gives the same octets."""
        browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
        if browser is None:
            raise ValueError("PDF is printed by Chromium, which is not installed: use html, or install it")
        html = self._page.format(report, incident)
        with tempfile.TemporaryDirectory(prefix="tapwarden-print-") as folder:
            printed = _printed(browser, Path(folder), html)
        moment = f"{report.created_at.astimezone(UTC):%Y%m%d%H%M%S}".encode()
        return _DATES.sub(lambda found: b"/%s (D:%s+00'00')" % (found[1], moment), printed)


def page_of(doc: Document, language: str) -> str:
    """The page as text."""
    words = _labels()[language]
    env = Environment(autoescape=True)
    env.filters["utc"] = _utc
    env.filters["word"] = lambda text: words["words"].get(text, str(text).replace("_", " "))
    env.filters["defanged"] = defanged
    template = env.from_string(resources.files(__package__).joinpath("printed.html.j2").read_text("utf-8"))
    span = (doc.due_at - doc.detected_at).total_seconds()
    passed = (doc.created_at - doc.detected_at).total_seconds()
    used = round(min(100.0, max(0.0, 100 * passed / span if span > 0 else 100.0)))
    return template.render(
        doc=doc,
        t=words,
        language=language,
        facts=_facts(doc, words),
        clock={"used": used},
        clock_text=words["clock_text"].format(used=used),
        alerts_text=words["alerts_total"].format(count=doc.alert_count),
        bars=_bars(doc),
        timeline=[entry for entry in doc.body.get("timeline") or () if isinstance(entry, dict)]
        if isinstance(doc.body.get("timeline"), list)
        else [],
        further=[(name, _said(value)) for name, value in doc.body.items() if name not in _SHOWN],
    )


def defanged(value: str) -> str:
    """An indicator that no reader opens by a slip: hxxp, and the last dot in brackets."""
    text = re.sub(r"(?i)^http", "hxxp", value)
    return "[.]".join(text.rsplit(".", 1)) if "://" not in text else text.replace(".", "[.]")


def _facts(doc: Document, words: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    def word(text: str) -> str:
        return str(words["words"].get(text, text.replace("_", " "))) if text else str(words["unknown"])

    grades = "; ".join(f"{name}: {word(value)}" for name, value in doc.grades.items())
    return (
        (words["from"], doc.reporter),
        (words["incident"], doc.incident_id),
        (words["responsible"], doc.responsible or words["unknown"]),
        (words["report_id"], f"{doc.report_id} ({words['version']} {doc.version})"),
        (words["contact"], doc.contact or words["unknown"]),
        (words["profile"], f"{doc.profile} {doc.stage_id}"),
        (words["detected"], _utc(doc.detected_at)),
        (words["due"], _utc(doc.due_at)),
        (words["occurred"], _utc(doc.occurred_at)),
        (words["made"], _utc(doc.created_at)),
        (words["class"], f"{word(doc.threat_class)} / {word(doc.subtype)}"),
        (words["severity"], word(doc.severity)),
        (words["determination"], word(doc.determination)),
        (words["network"], words.get(doc.ownership, doc.ownership)),
        (words["grade"], grades or words["none"]),
    )


def _bars(doc: Document) -> Sequence[Mapping[str, Any]]:
    counts: dict[tuple[int, str], int] = {}
    for alert in doc.alerts:
        key = (alert.sid, alert.signature)
        counts[key] = counts.get(key, 0) + alert.count
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:BARS_MAX]
    most = top[0][1] if top else 1
    return [
        {"label": f"{name[:70]} ({sid})", "count": count, "width": round(max(2.0, 540 * count / most), 1)}
        for (sid, name), count in top
    ]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _labels() -> Mapping[str, Any]:
    labels: Mapping[str, Any] = yaml.safe_load(resources.files(__package__).joinpath("labels.yaml").read_text("utf-8"))
    return labels


def _printed(browser: str, folder: Path, html: bytes) -> bytes:
    page, out = folder / "report.html", folder / "report.pdf"
    page.write_bytes(html)
    command = [
        browser,
        "--headless",
        "--no-sandbox",  # as root there is none; the page is ours, has no scripts and may fetch nothing
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-pdf-header-footer",
        f"--user-data-dir={folder / 'profile'}",
        f"--print-to-pdf={out}",
        page.as_uri(),
    ]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=PRINT_S, check=False)
        return out.read_bytes()
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"Chromium did not print within {PRINT_S:.0f} s") from error
    except OSError as error:
        raise ValueError(f"Chromium did not print: {ran.stderr[-300:].decode('utf-8', 'replace')}") from error
