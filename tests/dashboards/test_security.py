"""Log-in, roles, tokens, headers: what keeps strangers and other sites out."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tapwarden.dashboards.accounts import ensure_admin
from tapwarden.dashboards.server import make_server
from tapwarden.dashboards.settings import DashboardSettings
from tapwarden.model.errors import ConfigError
from tapwarden.model.user import Role

PASSWORD = "correct horse battery staple"
Record = Callable[..., dict[str, Any]]


def test_the_first_start_makes_one_administrator_and_only_one(site: Any) -> None:
    password = ensure_admin(site.cases, site.clock, lambda n: bytes(range(n)), site.passwords)
    assert password is not None
    assert len(password.replace("-", "")) == 20
    assert ensure_admin(site.cases, site.clock, bytes, site.passwords) is None
    user = site.cases.user("admin")
    assert user.must_change
    assert user.password_hash.startswith("$argon2id$")


def test_a_one_time_password_opens_nothing_but_the_password_page(site: Any) -> None:
    password = ensure_admin(site.cases, site.clock, lambda n: bytes(range(n)), site.passwords)
    visit = site.browse()
    assert visit.log_in("admin", password).json()["location"] == "/password"
    assert visit.get("/").headers["location"] == "/password"
    assert visit.post("/users", {"name": "eve", "role": "admin"}).headers["location"] == "/password"
    short = {"current": password, "new": "short", "again": "short"}
    assert visit.post("/password", short).status_code == 400
    fields = {"current": password, "new": PASSWORD, "again": PASSWORD}
    assert visit.post("/password", fields).headers["location"] == "/"
    assert visit.get("/").status_code == 200
    assert site.browse().log_in("admin", password).status_code == 401


@pytest.mark.parametrize("path", ["/", "/inbox", "/search", "/users", "/audit", "/events/00", "/pulse", "/health"])
def test_no_page_shows_anything_without_a_log_in(site: Any, path: str) -> None:
    visit = site.browse()
    assert visit.get(path).headers["location"].startswith("/login")
    assert visit.get(path, headers={"Accept": "application/json"}).status_code == 401


def test_the_session_cookie_is_for_this_site_and_not_for_scripts(site: Any) -> None:
    site.add_user("anna", Role.VIEWER)
    cookie = next(c for c in site.browse().log_in("anna", PASSWORD).headers.get_list("set-cookie") if "tapwarden=" in c)
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


CHANGES = [
    ("/inbox/triage", {"do": "archive", "group": "g"}, {Role.ANALYST, Role.APPROVER, Role.ADMIN}),
    ("/inbox/undo", {}, {Role.ANALYST, Role.APPROVER, Role.ADMIN}),
    ("/incidents", {"title": "t", "severity": "1"}, {Role.ANALYST, Role.APPROVER, Role.ADMIN}),
    ("/incidents/x/close", {"reason": "r"}, {Role.ANALYST, Role.APPROVER, Role.ADMIN}),
    ("/incidents/x/decide", {"measure": "block", "targets": "t"}, {Role.APPROVER, Role.ADMIN}),
    ("/actions/rollback", {"action": "a", "reason": "r"}, {Role.APPROVER, Role.ADMIN}),
    ("/reports/x/edit", {}, {Role.ANALYST, Role.APPROVER, Role.ADMIN}),
    ("/reports/x/sign-off", {}, {Role.APPROVER, Role.ADMIN}),
    ("/users", {"name": "a b", "role": "admin"}, {Role.ADMIN}),
    ("/users/x/role", {"role": "admin"}, {Role.ADMIN}),
    ("/users/x/reset", {}, {Role.ADMIN}),
]


@pytest.mark.parametrize("role", list(Role))
def test_a_role_can_change_what_it_may_and_nothing_else(site: Any, role: Role) -> None:
    visit = site.log_in(role)
    let_through = {path for path, fields, _ in CHANGES if visit.post(path, fields).status_code != 403}
    assert let_through == {path for path, _, roles in CHANGES if role in roles}


@pytest.mark.parametrize("role", list(Role))
def test_users_and_audit_are_shown_to_those_who_need_them(site: Any, role: Role) -> None:
    visit = site.log_in(role)
    assert (visit.get("/users").status_code == 200) == (role is Role.ADMIN)
    assert (visit.get("/audit").status_code == 200) == (role in {Role.ADMIN, Role.AUDITOR})


@pytest.mark.parametrize(("path", "fields", "roles"), CHANGES)
def test_every_change_needs_the_sessions_token(site: Any, path: str, fields: dict[str, str], roles: set[Role]) -> None:
    visit = site.log_in(Role.ADMIN)
    for token in ("", "wrong", site.log_in(Role.APPROVER).csrf):
        answer = visit.post(path, {**fields, "csrf": token})
        assert answer.status_code == 403, token
        assert "token" in answer.text


def test_a_post_from_another_site_is_refused_even_with_the_token(site: Any) -> None:
    visit = site.log_in(Role.ADMIN)
    assert visit.post("/inbox/undo", {}, Origin="http://evil.example").status_code == 403
    assert (
        visit.http.post("/inbox/undo", data={"csrf": visit.csrf}, headers={"Sec-Fetch-Site": "cross-site"}).status_code
        == 403
    )
    assert visit.post("/inbox/undo", {}, Origin=site.url).status_code == 303


def test_log_ins_are_slowed_after_five_failures_and_time_lifts_it(site: Any) -> None:
    site.add_user("anna", Role.VIEWER)
    statuses = [site.browse().log_in("anna", f"wrong {n}").status_code for n in range(6)]
    assert statuses == [401] * 5 + [429]
    assert site.browse().log_in("anna", PASSWORD).status_code == 429, "a right guess must not get through either"
    site.clock.move(seconds=301)
    assert site.browse().log_in("anna", PASSWORD).status_code == 200


def test_an_address_is_slowed_when_it_tries_many_names(site: Any) -> None:
    statuses = [site.browse().log_in(f"user{n}", "x").status_code for n in range(21)]
    assert statuses == [401] * 20 + [429]


def test_the_log_in_form_cannot_be_posted_from_elsewhere(site: Any) -> None:
    site.add_user("anna", Role.VIEWER)
    visit = site.browse()
    answer = visit.http.post("/login", data={"name": "anna", "password": PASSWORD, "csrf": "guess"})
    assert answer.status_code == 403


def test_a_session_ends_when_idle_and_polling_does_not_keep_it(site: Any) -> None:
    visit = site.log_in(Role.VIEWER)
    for _ in range(4):
        site.clock.move(minutes=9)
        visit.get("/pulse")
    assert visit.get("/").status_code == 303


def test_a_session_ends_after_a_long_shift_even_when_busy(site: Any) -> None:
    visit = site.log_in(Role.VIEWER)
    for _ in range(29):
        site.clock.move(minutes=25)
        visit.get("/")
    assert visit.get("/").status_code == 303


def test_disabling_a_user_ends_their_sessions_at_once(site: Any) -> None:
    anna, admin = site.log_in(Role.ANALYST), site.log_in(Role.ADMIN)
    admin.post("/users/analyst-anna/disabled", {"disabled": "true"})
    assert anna.get("/").status_code == 303
    assert site.browse().log_in("analyst-anna", PASSWORD).status_code == 401


def test_logging_out_makes_the_cookie_worthless(site: Any) -> None:
    visit = site.log_in(Role.VIEWER)
    cookie = visit.http.cookies["tapwarden"]
    visit.post("/logout", {})
    assert httpx.get(site.url + "/", cookies={"tapwarden": cookie}).status_code == 303


def test_a_foreign_host_name_is_refused_so_dns_rebinding_gets_nothing(site: Any) -> None:
    visit = site.log_in(Role.VIEWER)
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost.evil.example:80"):
        assert visit.get("/", headers={"Host": host}).status_code in (400, 421), host
    assert visit.get("/", headers={"Host": "localhost:1"}).status_code == 200


@pytest.mark.parametrize("path", ["/login", "/", "/static/app.js", "/nowhere", "/static/../app.py"])
def test_every_answer_carries_the_security_headers(site: Any, path: str) -> None:
    headers = site.browse().get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "no-store" in headers["cache-control"] or path.startswith("/static/")


def test_a_redirect_after_log_in_stays_on_this_site(site: Any) -> None:
    site.add_user("anna", Role.VIEWER)
    for target in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"):
        visit = site.browse()
        form = visit.get("/login.json").json()
        fields = {"name": "anna", "password": PASSWORD, "csrf": form["login_csrf"], "next": target}
        assert visit.http.post("/login", data=fields).headers["location"] == "/", target


def test_a_giant_body_is_refused(site: Any) -> None:
    visit = site.log_in(Role.ANALYST)
    assert visit.post("/incidents", {"summary": "x" * 2_000_000}).status_code == 413


def test_pages_carry_nothing_inline_and_nothing_from_elsewhere(site: Any, record: Record) -> None:
    group = site.add_alert(record())
    visit = site.log_in(Role.ADMIN)
    for path in ("/", "/inbox", f"/events/{group.event_id}", "/search?range=all", "/users", "/audit", "/actions"):
        page = visit.get(path).text
        assert " style=" not in page
        assert " onclick" not in page
        assert "<style" not in page
        assert page.count("<script") == page.count('<script type="module" src="/static/') == 1
        assert "http://" not in page.replace("http://www.w3.org", "")
        assert "https://" not in page


def test_a_new_user_gets_a_password_once_and_it_is_not_in_the_store(site: Any) -> None:
    admin = site.log_in(Role.ADMIN)
    fresh = admin.post("/users", {"name": "bert", "role": "analyst"}, Accept="application/json").json()["fresh"]
    assert site.browse().log_in("bert", fresh["password"]).status_code == 200
    assert fresh["password"] not in admin.get("/users").text
    assert "password_hash" not in admin.get("/users.json").text
    assert fresh["password"] not in admin.get("/audit.json").text


def test_listening_beyond_loopback_without_tls_is_a_configuration_error() -> None:
    settings = DashboardSettings(host="0.0.0.0")
    with pytest.raises(ConfigError):
        make_server(None, settings)  # type: ignore[arg-type]
