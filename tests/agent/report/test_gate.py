"""What leaves the house: labels, fields, pseudonyms, payload; and who may look behind a pseudonym."""

import ipaddress
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.report.gate import PrivacyGate, ReceiverRules
from tapwarden.agent.report.pseudonym import Pseudonyms, master_key
from tapwarden.agent.revealing import Revealing
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.model.errors import RefusedError, StoreError
from tapwarden.model.incident import Incident, IncidentState, ThreatClass
from tapwarden.model.report import Report, ReportState, Stage

T0 = datetime(2026, 11, 24, 8, tzinfo=UTC)
MASTER = bytes(range(32))
HOME = [ipaddress.ip_network(network) for network in ("10.0.0.0/8", "fd00::/8")]
INCIDENT = Incident("i1", "t", ThreatClass.EVENT, 1, IncidentState.SUSPECTED, T0, T0, "ann", T0)


def ours(address: str) -> bool:
    return any(ipaddress.ip_address(address) in network for network in HOME)


def gate(name: str = "csirt", **rules: Any) -> PrivacyGate:
    return PrivacyGate(ReceiverRules(name, **rules), ours, lambda epoch: Pseudonyms(MASTER, name, epoch))


def a_report(**body: Any) -> Report:
    whole = {
        "schema": "tapwarden-report/1",
        "tlp": "AMBER",
        "pap": "AMBER",
        "title": "10.1.2.3 talks to 198.51.100.9",
        "affected": ["10.1.2.3", "fd00::5", "::ffff:10.1.2.3"],
        "indicators": ["198.51.100.9"],
        "evidence": {
            "alerts": [{"source": "10.1.2.3", "destination": "198.51.100.9", "sid": 1, "signature": "x", "count": 1}],
            "payload_printable": "GET / from 10.1.2.3 " + "A" * 5000,
        },
        "changes": ["2026-11-24T08:00:00Z joined: 10.1.2.3:4444, [fd00::5]:80, 10.1.2.3."],
        "drill": False,
        **body,
    }
    return Report("r1", "i1", Stage.EARLY, ReportState.READY, 1, T0, T0 + timedelta(hours=24), whole)


@pytest.mark.parametrize("name", [name for name in FORMATTERS if not name.startswith(("pdf", "xarf"))])
def test_no_internal_address_leaves_in_any_format_and_outside_ones_do(name: str) -> None:
    passed = gate().passed(a_report())
    payload = FORMATTERS[name].format(passed.report, INCIDENT)
    assert b"10.1.2.3" not in payload
    assert b"fd00::5" not in payload
    assert b"198.51.100" in payload
    assert gate().leak(payload) == ""
    assert passed.pseudonyms == 2, "one host written in two ways is one host"
    assert gate().leak(FORMATTERS[name].format(a_report(), INCIDENT)) != ""


@given(st.text(max_size=60), st.ip_addresses(network="10.0.0.0/8"), st.text(max_size=10))
def test_whatever_stands_around_an_address_it_is_found_where_it_is_one(before: str, address: Any, after: str) -> None:
    text = f"{before} {address} {after}"
    title = gate().passed(a_report(title=text)).report.body["title"]
    assert f" {address} " not in title
    assert gate().leak(title.encode("utf-8", "replace")) == ""


def test_two_receivers_cannot_compare_pseudonyms_and_one_receiver_can_over_time() -> None:
    one, other = (gate(name).passed(a_report()).report.body["affected"][0] for name in ("csirt", "ministry"))
    assert one != other
    again = gate("csirt").passed(a_report(title="10.1.2.3")).report.body
    assert again["title"] == again["affected"][0] == one


@given(st.ip_addresses())
def test_a_pseudonym_leads_back_to_its_address_only_with_the_key(address: Any) -> None:
    pseudonyms = Pseudonyms(MASTER, "csirt", "2026")
    expected = str(address.ipv4_mapped or address) if address.version == 6 else str(address)
    assert pseudonyms.address(pseudonyms.of(str(address))) == expected
    assert Pseudonyms(MASTER[::-1], "csirt", "2026").of(str(address)) != pseudonyms.of(str(address))


def test_labels_hold_a_report_back_from_who_may_not_have_it() -> None:
    assert gate(tlp="RED").passed(a_report(tlp="RED")).tlp == "RED"
    for labels in ({"tlp": "RED"}, {"tlp": "AMBER+STRICT"}, {"pap": "RED"}, {"tlp": "SECRET"}, {"tlp": None}):
        with pytest.raises(RefusedError):
            gate().passed(a_report(**labels))


def test_a_receiver_gets_the_fields_on_its_list_and_what_identifies_the_report() -> None:
    passed = gate(fields=frozenset({"indicators"})).passed(a_report())
    assert set(passed.report.body) == {"schema", "tlp", "pap", "drill", "indicators"}
    assert set(passed.withheld) == {"title", "affected", "evidence", "changes"}


@pytest.mark.parametrize(("most", "kept"), [(0, 0), (16, 16)])
def test_payload_is_cut_to_what_the_receiver_may_have(most: int, kept: int) -> None:
    passed = gate(payload=most).passed(a_report())
    assert len(passed.report.body["evidence"]["payload_printable"]) == kept
    assert "payload_printable" in passed.withheld


def test_internal_addresses_may_stay_or_be_dropped_where_that_is_configured() -> None:
    assert gate(internal="clear").passed(a_report()).report.body["affected"][0] == "10.1.2.3"
    assert gate(internal="drop").passed(a_report()).report.body["affected"][0] == "internal"


def test_it_takes_two_people_to_look_behind_a_pseudonym_and_the_trail_names_both(tmp_path: Path) -> None:
    class At:
        at = T0

        def now(self) -> datetime:
            return self.at

    cases, clock = SqlCaseStore.at(tmp_path / "cases.db"), At()
    desk = Revealing(cases, clock, lambda: MASTER, ours)
    pseudonym = gate("csirt").passed(a_report()).report.body["affected"][0]
    refused: Callable[[str], Any] = lambda match: pytest.raises(RefusedError, match=match)  # noqa: E731
    with refused("nobody has asked"):
        desk.agree(pseudonym, by="bob")
    desk.ask(pseudonym, receiver="csirt", by="ann", reason="the police asked")
    with refused("somebody else"):
        desk.agree(pseudonym, by="ann")
    assert desk.agree(pseudonym, by="bob") == "10.1.2.3"
    with refused("nobody has asked"):
        desk.agree(pseudonym, by="bob")
    desk.ask(pseudonym, receiver="ministry", by="ann", reason="wrong receiver")
    with refused("no pseudonym that ministry was given"):
        desk.agree(pseudonym, by="bob")
    desk.ask(pseudonym, receiver="csirt", by="ann", reason="again")
    clock.at += timedelta(hours=25)
    with refused("nobody has asked"):
        desk.agree(pseudonym, by="bob")
    trail = cases.audit_records(subject=pseudonym)
    assert [(one.actor, one.verb) for one in trail][-2:] == [("bob", "pseudonym.reveal"), ("ann", "pseudonym.ask")]
    assert "10.1.2.3" not in json.dumps([one.detail for one in trail]), "the address itself is in no trail"
    cases.close()


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "pseudonym.key"
    assert master_key(path) == master_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(b"short")
    with pytest.raises(StoreError, match="not a key"):
        master_key(path)


def test_a_report_of_last_year_keeps_its_pseudonyms() -> None:
    old = replace(a_report(), created_at=T0 - timedelta(days=400))
    assert gate().passed(old).report.body["affected"][0] != gate().passed(a_report()).report.body["affected"][0]
