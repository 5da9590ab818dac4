"""Each format judged by somebody else's code: validators and readers that others wrote."""

import csv
import io
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tapwarden.agent.report.document import observable, read_document
from tapwarden.agent.report.draft import draft_stage
from tapwarden.agent.report.formats import FORMATTERS
from tapwarden.agent.report.profile import shipped_profiles
from tapwarden.agent.report.reporter import Reporter
from tapwarden.model.decision import (
    Action,
    ActionState,
    Authority,
    AuthorityKind,
    Decision,
    Measure,
    Target,
    TargetType,
)
from tapwarden.model.event import Event
from tapwarden.model.incident import SUBTYPES, AlertGroup, Grade, Incident, IncidentState, ThreatClass
from tapwarden.model.report import Report

T0 = datetime(2026, 11, 24, 8, 0, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HERE = Path(__file__).parent
TOP = HERE.parents[2]
PROFILES = shipped_profiles()
REPORTER = Reporter("示例网络 Example Networks", "Ann Lee", "+86 10 0000", email="soc@example.org")
GROUPS = [
    AlertGroup("g1", 1, 2001, "ET TROJAN beacon", "trojan", 1, "10.1.2.3", "198.51.100.9", 41, T0, T0 + HOUR, "e"),
    AlertGroup("g2", 1, 2002, "=cmd|' /C calc'!A0", "scan", 3, "2001:db8::66", "10.1.2.4", 3, T0, T0 + HOUR, "e"),
]
EVENT = Event(
    b'{"timestamp":"2026-11-24T08:00:00Z","src_ip":"198.51.100.9","src_port":4444,"dest_ip":"10.1.2.3","dest_port":80,'
    b'"proto":"TCP","payload_printable":"secret"}'
)
KINDS = [(threat, kind) for threat, kinds in SUBTYPES.items() for kind in kinds]


def a_report(profile: str = "generic-24h", stage_id: str = "initial", **changes: Any) -> tuple[Report, Incident]:
    incident = Incident(
        id="i1",
        title="Beacon to <evil> & \"co\" '信标'",
        threat_class=ThreatClass.MALICIOUS_RESOURCE,
        severity=1,
        state=IncidentState.SUSPECTED,
        detected_at=T0,
        opened_at=T0 + HOUR,
        opened_by="policy:beacon",
        due_at=T0 + 24 * HOUR,
        summary="41 alerts\nsecond line",
        affected=("10.1.2.3", "host-aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        indicators=("198.51.100.9", "2001:db8::66", "c2.evil.example", "http://c2.evil.example/gate?a=1&b=2", "a" * 64),
        subtype="c2_ip",
        facts={"people_data": 1_200_000, "ransomware": False, "cause": "a mail"},
    )
    incident = replace(incident, **changes)
    target = Target(TargetType.ADDRESS, "198.51.100.9")
    authority = Authority(AuthorityKind.PERSON, "ann", "Cybersecurity Law art. 25", T0)
    ends = T0 + 48 * HOUR
    decision = Decision("d1", "i1", Measure.BLOCK, (target,), "here", "control end", authority, T0 + HOUR, ends)
    action = Action(
        id="a1",
        decision_id="d1",
        incident_id="i1",
        measure=Measure.BLOCK,
        target=target,
        mitigator="nftables",
        state=ActionState.VERIFIED,
        created_at=T0,
        expires_at=ends,
        dry_run=False,
        applied_at=T0 + HOUR,
    )
    report = draft_stage(
        incident,
        rule=PROFILES[profile].rule(stage_id),
        profile=PROFILES[profile],
        groups=GROUPS,
        events=[EVENT],
        decisions=[decision],
        actions=[action],
        reporter=REPORTER,
        report_id="r1",
        now=T0 + 2 * HOUR,
        due_at=T0 + 24 * HOUR,
        grades={"cn-nir-2025": Grade("cn-nir-2025", 3, "relatively-large")},
    )
    return report, incident


def written(name: str, **changes: Any) -> bytes:
    return FORMATTERS[name].format(*a_report(**changes))


def events(**changes: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written("intelmq", **changes).splitlines()]


# STIX: stix2-validator, which the standard's makers wrote


def stix_problems(payload: bytes) -> list[str]:
    validator = pytest.importorskip("stix2validator", reason="stix2-validator is not installed")
    options = validator.ValidationOptions(version="2.1", strict=False)
    result = validator.validate_string(payload.decode(), options)
    return [str(problem) for problem in (*(result.errors or ()), *(result.warnings or ()))]


@pytest.mark.parametrize(("threat", "kind"), KINDS)
def test_the_stix_bundle_is_clean_for_every_class(threat: ThreatClass, kind: str) -> None:
    assert stix_problems(written("stix", threat_class=threat, subtype=kind, drill=kind == "scanner")) == []


def test_stages_of_one_incident_name_the_same_objects_and_later_ones_are_newer() -> None:
    first = json.loads(written("stix"))
    report, incident = a_report(stage_id="final")
    second = json.loads(FORMATTERS["stix"].format(replace(report, created_at=T0 + 9 * HOUR, id="r2"), incident))
    before, after = ({one["id"]: one for one in bundle["objects"]} for bundle in (first, second))
    assert before.keys() == after.keys()
    (number,) = [key for key in before if key.startswith("incident--")]
    assert after[number]["modified"] > before[number]["modified"]
    assert after[number]["created"] == before[number]["created"]
    assert stix_problems(json.dumps(second).encode()) == []


def test_the_stix_bundle_is_read_by_the_reference_library() -> None:
    stix2 = pytest.importorskip("stix2", reason="stix2 is not installed")
    bundle = stix2.parse(written("stix").decode(), allow_custom=True)
    kinds = {one["type"] for one in bundle["objects"]}
    assert {"incident", "indicator", "sighting", "observed-data", "course-of-action", "infrastructure"} <= kinds


# IODEF: lxml with the schema of RFC 7970


@pytest.fixture(scope="module")
def iodef() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(HERE / "schema" / "iodef-2.0.xsd"))


@pytest.mark.parametrize(("threat", "kind"), KINDS)
def test_the_iodef_document_is_valid_for_every_class(iodef: etree.XMLSchema, threat: ThreatClass, kind: str) -> None:
    document = etree.fromstring(written("iodef", threat_class=threat, subtype=kind))
    assert iodef.validate(document), iodef.error_log


@pytest.mark.parametrize("tlp", ["RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR"])
def test_iodef_has_a_restriction_for_every_tlp_label(iodef: etree.XMLSchema, tlp: str) -> None:
    report, incident = a_report()
    labelled = replace(report, body={**report.body, "tlp": tlp})
    assert iodef.validate(etree.fromstring(FORMATTERS["iodef"].format(labelled, incident))), iodef.error_log


# IntelMQ: its own harmonisation, in an environment of its own (AGPL)

JUDGE = """
import json, os, sys, intelmq, intelmq.lib.message as message
with open(os.path.join(os.path.dirname(intelmq.__file__), "etc", "harmonization.conf")) as file:
    harmonization = json.load(file)
for line in sys.stdin:
    event = message.MessageFactory.from_dict({"__type": "Event", **json.loads(line)}, harmonization=harmonization)
    for key, value in json.loads(line).items():
        message.Event(harmonization=harmonization).add(key, value)
    print(event["classification.type"])
"""


def intelmq_python() -> str:
    python = os.environ.get("TAPWARDEN_INTELMQ_PYTHON") or str(TOP / ".intelmq" / "bin" / "python")
    if not Path(python).exists():
        pytest.skip("IntelMQ is not installed: tools/intelmq.sh makes .intelmq")
    return python


def test_intelmq_takes_every_line_of_every_class() -> None:
    python = intelmq_python()
    lines = [json.dumps(one) for threat, kind in KINDS for one in events(threat_class=threat, subtype=kind)]
    lines += [json.dumps(one) for one in events(drill=True, affected=(), indicators=())]
    judged = subprocess.run([python, "-c", JUDGE], input="\n".join(lines), capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stderr[-2000:]
    assert len(judged.stdout.splitlines()) == len(lines)


def test_an_intelmq_line_says_who_did_it_to_whom() -> None:
    first = events()[0]
    assert (first["source.ip"], first["destination.ip"]) == ("198.51.100.9", "10.1.2.3")
    assert first["classification.type"] == "c2-server"
    assert events(drill=True)[0]["classification.type"] == "test"


# MISP: pymisp


def test_pymisp_loads_the_event_with_all_its_attributes() -> None:
    pymisp = pytest.importorskip("pymisp", reason="pymisp is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        event = pymisp.MISPEvent()
        event.from_json(written("misp").decode())
    told = {(attribute.type, attribute.value) for attribute in event.attributes}
    assert ("ip-dst", "198.51.100.9") in told
    assert ("domain", "c2.evil.example") in told
    assert ("sha256", "a" * 64) in told
    assert {tag.name for tag in event.tags} >= {"tlp:amber", "PAP:AMBER"}
    assert not any(attribute.to_ids for attribute in pymisp_drill(pymisp).attributes)


def pymisp_drill(pymisp: Any) -> Any:
    event = pymisp.MISPEvent()
    event.from_json(written("misp", drill=True).decode())
    return event


# X-ARF: the JSON schemas of the xarf package


@pytest.mark.parametrize(("threat", "kind"), KINDS)
def test_every_xarf_notice_is_valid_for_every_class(threat: ThreatClass, kind: str) -> None:
    xarf = pytest.importorskip("xarf", reason="xarf is not installed")
    notices = [json.loads(line) for line in written("xarf", threat_class=threat, subtype=kind).splitlines()]
    assert [one["source_identifier"] for one in notices] == [
        "198.51.100.9",
        "2001:db8::66",
        "c2.evil.example",
        "http://c2.evil.example/gate?a=1&b=2",
    ]
    for notice in notices:
        assert [str(error) for error in xarf.schema_validator.validate(notice)] == []
        assert "10.1.2" not in json.dumps(notice), "a provider is told nothing of our hosts"


# CSV, pages


def test_the_table_is_read_back_and_computes_nothing() -> None:
    rows = list(csv.DictReader(io.StringIO(written("csv").decode(), newline="")))
    assert next(row["value"] for row in rows if row["role"] == "indicator") == "198.51.100.9"
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(("name", "words"), [("html", "First detected"), ("html-zh", "首次发现时间")])
def test_the_page_says_it_in_its_language_and_runs_nothing(name: str, words: str) -> None:
    page = written(name, drill=True, title="</title><script>alert(1)</script>").decode()
    assert words in page
    assert "<script" not in page
    assert "198.51.100[.]9" in page
    root = etree.fromstring(page.encode(), etree.HTMLParser())
    assert len(root.findall(".//svg")) == 2


@pytest.mark.parametrize(("name", "words"), [("pdf", "First detected"), ("pdf-zh", "首次发现时间")])
def test_the_page_is_printed_as_pdf(name: str, words: str, tmp_path: Path) -> None:
    if not shutil.which("chromium") or not shutil.which("pdftotext"):
        pytest.skip("chromium and poppler-utils print and read PDF")
    (tmp_path / "r.pdf").write_bytes(written(name))
    text = subprocess.run(["pdftotext", str(tmp_path / "r.pdf"), "-"], capture_output=True, text=True, check=True)
    assert words in text.stdout.replace("⾸", "首")


# any body at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(changes=st.dictionaries(st.sampled_from(sorted(a_report()[0].body)), JSON, max_size=6))
def test_whatever_an_editor_makes_of_a_body_every_format_writes_it_and_stays_valid(
    iodef: etree.XMLSchema, changes: Mapping[str, Any]
) -> None:
    report, incident = a_report()
    edited = replace(report, body={**report.body, **changes})
    for name, formatter in FORMATTERS.items():
        if name.startswith("pdf") or (name == "xarf" and "contact" in changes):
            continue
        payload = formatter.format(edited, incident)
        if name == "iodef":
            assert iodef.validate(etree.fromstring(payload)), iodef.error_log
        elif name in {"stix", "misp", "json"}:
            json.loads(payload)
    assert read_document(edited).report_id == "r1"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("198.51.100.9", "ipv4"),
        ("2001:DB8::1", "ipv6"),
        ("192.0.2.0/24", "network"),
        ("2001:db8::/32", "network"),
        ("Evil.Example.", "domain"),
        ("https://evil.example/a", "url"),
        ("d" * 32, "md5"),
        ("host-" + "a" * 26, "pseudonym"),
        ("evil", "text"),
        ("http://", "text"),
        ("1.2.3.4/33", "text"),
    ],
)
def test_a_value_is_known_by_its_form(value: str, kind: str) -> None:
    assert observable(value).kind == kind
