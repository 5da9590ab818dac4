"""A shift in a real browser: log in, change the password, triage by keyboard, open an incident, decide a block."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tapwarden.dashboards.accounts import ensure_admin
from tapwarden.model.decision import ActionState
from tapwarden.model.incident import GroupState, Verdict
from tapwarden.model.user import Role

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

Record = Callable[..., dict[str, Any]]
PASSWORD = "correct horse battery staple"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

RESOLVED = "all => all.map(one => new URL(one.getAttribute('href'), document.baseURI).href)"

FORM_FIELDS = re.compile(r'<textarea.*?</textarea>|value="[^"]*"', re.DOTALL)
"""Keep the text as it is, since it is sent back."""

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "\u202egpj.exe\x07'\"&{{7*7}}javascript:x"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: TAPWARDEN_SCREENSHOTS, or the test's own folder."""
    folder = Path(os.environ.get("TAPWARDEN_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Window:
    """A page of the browser that collects what must not happen: script errors and refused content."""

    def __init__(self, browser: Any, url: str, *, scheme: str = "dark") -> None:
        self.context = browser.new_context(
            viewport={"width": 1366, "height": 768}, color_scheme=scheme, timezone_id="Asia/Shanghai", base_url=url
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def log_in(self, name: str, password: str) -> None:
        self.page.goto("/login")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password]", password)
        self.page.click("button.primary")

    def keys(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def fits(self) -> bool:
        """Whether the page needs no sideways scrolling."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture
def window(browser: Any, site: Any) -> Iterator[Callable[..., Window]]:
    opened: list[Window] = []

    def open_window(**kw: Any) -> Window:
        opened.append(Window(browser, site.url, **kw))
        return opened[-1]

    yield open_window
    for one in opened:
        one.context.close()


def fill_shift(site: Any, record: Record, event_of: Callable[..., Any]) -> None:
    """A day of alerts of several kinds, severities and counts."""
    kinds = [
        (2024001, "MALWARE Beacon to known gate", "A Network Trojan was detected", 1, 214, ("c2.evil.example",)),
        (2031502, "DNS query for listed domain", "Domain Observed Used for C2 Detected", 1, 38, ("a8f3.evil.example",)),
        (2027865, "SCAN many ports of one host", "Attempted Information Leak", 2, 1204, ()),
        (2019401, "WEB SQL injection attempt in URI", "Web Application Attack", 2, 17, ("shop.example.org",)),
        (
            2013028,
            "POLICY curl user agent outbound",
            "Misc activity",
            3,
            560,
            ("mirror.example.net",),
        ),
        (2210054, "STREAM excessive retransmissions", "Generic Protocol Command Decode", 4, 8120, ()),
    ]
    now = site.clock.now()
    for at, (sid, signature, category, severity, count, badges) in enumerate(kinds):
        for host in (23, 57):
            eve = record(src_ip=f"10.1.4.{host}", dest_ip=f"198.18.{at}.{host}", at=now - timedelta(minutes=7 * at + 2))
            eve["alert"] |= {"signature_id": sid, "signature": signature, "category": category, "severity": severity}
            site.add_alert(eve, count=count // (1 if host == 23 else 3) + 1, badges=badges)
    spread = []
    for n in range(400):
        spread.append(event_of(record(at=now - timedelta(minutes=(n * n * 7) % 1430 + 1), src_port=2000 + n)))
        dns = record(event_type="dns", at=now - timedelta(minutes=(n * 11) % 1400 + 1), dest_port=53, proto="UDP")
        dns |= {"flow_id": n + 5, "community_id": f"1:{n}", "dns": {"type": "query", "rrname": f"h{n % 9}.example.org"}}
        for key in ("alert", "http", "payload", "app_proto"):
            dns.pop(key)
        spread.append(event_of(dns))
    site.events.append(spread)
    site.health |= {
        "detection": {"state": "ok", "detail": "last proven 41 s ago", "proofs": 1440},
        "rules": {"state": "degraded", "detail": "3 of 48 112 rules could not be loaded", "loaded": 48109},
        "coordinator": {"state": "ok", "detail": "last answer 12 s ago", "acknowledged": 3},
        "mitigation": {"state": "ok", "detail": "dry run; kernel and ledger agree", "installed": 0},
    }


def test_a_shift_from_the_first_log_in_to_a_decided_block(
    site: Any, record: Record, event_of: Callable[..., Any], window: Callable[..., Window], shots: Path
) -> None:
    fill_shift(site, record, event_of)
    one_time = ensure_admin(site.cases, site.clock, os.urandom, site.passwords)
    win = window()
    page = win.page
    win.log_in("admin", one_time or "")
    page.wait_for_url("**/password")
    for name, value in (("current", one_time), ("new", PASSWORD), ("again", PASSWORD)):
        page.fill(f"input[name={name}]", value)
    page.click("button.primary")
    page.wait_for_url("**/")
    page.screenshot(path=shots / "home.png")
    assert win.fits()
    assert "+08:00" in page.inner_text("#local-now")

    win.keys("g", "i")
    page.wait_for_url("**/inbox")
    page.wait_for_selector("tr.cursor")
    page.screenshot(path=shots / "inbox.png")
    assert win.fits()
    before = page.locator("#groups tbody tr").count()
    win.keys("G")
    noisy = page.get_attribute("tr.cursor", "data-group")
    win.keys("e")
    page.wait_for_selector(f"tr[data-group='{noisy}']", state="detached")
    assert site.cases.group(noisy).state is GroupState.ARCHIVED
    win.keys("z")
    page.wait_for_selector(f"tr[data-group='{noisy}']")
    assert site.cases.group(noisy).state is GroupState.OPEN

    win.keys("H", "j", "j")
    third = page.get_attribute("tr.cursor", "data-group")
    win.keys("f")
    page.wait_for_selector(f"tr[data-group='{third}']", state="detached")
    assert site.cases.group(third).verdict is Verdict.FALSE_POSITIVE
    assert page.locator("#groups tbody tr").count() == before - 1
    assert page.inner_text("[data-count-of=archived]") == "1"
    assert page.inner_text("#open-groups") == str(before - 1)

    win.keys("H", "x", "*", "1")
    assert "2 groups" in page.inner_text("#selected")
    page.screenshot(path=shots / "inbox-selected.png")
    win.keys("?")
    page.wait_for_selector("dialog[open]")
    page.screenshot(path=shots / "keys.png")
    win.keys("Escape")
    page.wait_for_selector("dialog[open]", state="detached")

    win.keys("*", "n")
    win.keys("Enter")
    page.wait_for_url("**/events/**")
    page.screenshot(path=shots / "event.png", full_page=True)
    assert win.fits()
    win.keys("i")
    page.wait_for_url("**/incidents/new**")
    page.screenshot(path=shots / "incident-new.png")
    page.fill("textarea[name=summary]", "Host 10.1.4.23 beacons to a listed gate since 08:00.")
    page.click("button.primary")
    page.wait_for_url("**/incidents/case-*")
    page.screenshot(path=shots / "incident.png", full_page=True)
    assert page.locator("progress").count() >= 1

    win.keys("b")
    page.wait_for_url("**/decide")
    page.click("[data-add-target='198.18.0.23']")
    page.fill("textarea[name=reason]", "known command and control gate")
    page.fill("input[name=legal_basis]", "Internal security policy section 4")
    page.click("form[method=get] button.primary")
    page.wait_for_selector("#confirm")
    assert "The guard has no objection" in page.inner_text("main")
    page.screenshot(path=shots / "decide.png")
    page.click("#confirm")
    page.wait_for_url("**/incidents/case-*")
    (action,) = site.cases.actions()
    assert (action.state, action.dry_run) == (ActionState.APPROVED, True)
    assert action.target.value == "198.18.0.23"
    page.goto("/actions")
    page.screenshot(path=shots / "actions.png")
    page.goto(f"/reports/{site.cases.reports()[0].id}")
    page.screenshot(path=shots / "report.png")
    page.goto("/search?kinds=alert")
    page.screenshot(path=shots / "search.png")
    assert win.fits()
    for path in ("users", "audit", "health", "help", "incidents"):
        page.goto("/" + path)
        page.screenshot(path=shots / f"{path}.png")
        assert win.fits(), path
    assert win.complaints == []

    light = window(scheme="light")
    light.log_in("admin", PASSWORD)
    light.page.goto("/inbox")
    light.page.screenshot(path=shots / "inbox-light.png")
    light.page.goto(f"/incidents/{action.incident_id}")
    light.page.screenshot(path=shots / "incident-light.png")
    assert light.complaints == []


def hostile(value: Any) -> Any:
    """The same structure with every text replaced by markup, script and direction overrides."""
    if isinstance(value, dict):
        return {key: hostile(item) for key, item in value.items()}
    if isinstance(value, list):
        return [hostile(item) for item in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_in_every_field_never_runs_and_never_becomes_markup(
    site: Any, record: Record, event_of: Callable[..., Any], window: Callable[..., Window]
) -> None:
    base = record()
    kept = {key: base[key] for key in ("timestamp", "event_type", "flow_id")}
    layers = {
        "alert": base["alert"] | {"metadata": {"tag": [HOSTILE], "<b>key</b>": [HOSTILE]}},
        "dns": {
            "type": "answer",
            "rrname": "x",
            "rrtype": "A",
            "rcode": "x",
            "answers": [{"rdata": "x"}],
        },
        "http": {"hostname": "x", "url": "javascript:x", "http_user_agent": "x", "http_method": "x", "status": 200},
        "tls": {"sni": "x", "subject": "x", "issuerdn": "x", "version": "x", "ja3": {"hash": "x"}},
        "fileinfo": {"filename": "x", "size": 1},
    }
    flat = hostile({k: v for k, v in base.items() if k not in kept and not isinstance(v, dict)})
    ids = []
    for kind in layers:
        eve = {**flat, **hostile(layers), **kept, "event_type": kind, "payload": base["payload"]}
        eve |= {
            "payload_printable": HOSTILE,
            "community_id": HOSTILE,
            "in_iface": HOSTILE,
            kind + "_<i>": {"<u>": HOSTILE},
        }
        event = event_of(eve)
        site.events.append([event])
        ids.append(event.id)
    eve = record(src_ip=HOSTILE, dest_ip=HOSTILE)
    eve["alert"] |= {"signature": HOSTILE, "category": HOSTILE}
    group = site.add_alert(eve, badges=(HOSTILE,))
    site.health["<script>" + HOSTILE] = {"state": HOSTILE, "detail": HOSTILE, HOSTILE: HOSTILE}
    visit = site.log_in(Role.APPROVER)
    opened = visit.post(
        "/incidents",
        {"title": HOSTILE[:200], "severity": "1", "summary": HOSTILE, "group": group.id},
        Accept="application/json",
    )
    incident = f"/incidents/{opened.json()['id']}"
    fields = {
        "measure": "block",
        "targets": "198.18.7.9",
        "reason": HOSTILE,
        "legal_basis": HOSTILE,
        "scope": HOSTILE[:200],
        "duration": "24h",
    }
    visit.post(incident + "/decide", fields)
    report = f"/reports/{site.cases.reports()[0].id}"
    paths = [
        "/",
        "/health",
        "/inbox?q=is:escalated",
        f"/incidents/new?group={group.id}",
        "/incidents",
        incident,
        report,
        "/actions",
    ]
    paths += [f"/events/{event_id}?group={group.id}" for event_id in ids]
    quoted = quote(HOSTILE)
    paths += ["/search?range=all", f"/search?range=all&text={quoted}&address={quoted}", f"/inbox?q={quoted}"]
    paths += [f"{incident}/decide?targets={quoted}&reason={quoted}", f"/nowhere/{quoted}", f"/incidents/{quoted}"]

    win = window()
    win.log_in("approver-anna", PASSWORD)
    win.page.wait_for_url("**/")
    for path in paths:
        text = visit.get(path).text
        assert "<img src=x" not in text, path
        assert "<script>document" not in text, path
        assert "\u202e" not in FORM_FIELDS.sub("", text), path
        assert "\x07" not in visit.get(path, headers={"Accept": "application/json"}).text, path
        assert "<" not in visit.get(path, headers={"Accept": "application/json"}).text, path
        if path.startswith(("/events", "/incidents/case", "/reports", "/inbox?q=is:escalated")):
            assert "&lt;img src=x" in text, f"{path} does not show the text at all"
        win.page.goto(path)
        assert "owned" not in win.page.title(), path
        assert win.page.locator("img, iframe, object, embed, main script").count() == 0, path
        hrefs = win.page.eval_on_selector_all("a[href]", RESOLVED)
        assert all(href.startswith(site.url + "/") for href in hrefs), path
    assert [c for c in win.complaints if "404" not in c] == []
