"""D1 to D10 (Internet Domain Name Management Rules) and I1 to I3 (what the inspection of 2017 found)."""

import ipaddress
from datetime import timedelta

from tapwarden.agent.compliance.facts import Facts
from tapwarden.agent.compliance.judging import Judgement, Rule, listed, met
from tapwarden.model.decision import Measure
from tapwarden.model.office import Standing
from tapwarden.model.order import CATEGORIES
from tapwarden.model.report import ReportState

SIX_MONTHS = timedelta(days=180)
DRILL_EVERY = timedelta(days=92)
REPORT_WITHIN = timedelta(hours=24)


def complaints(facts: Facts) -> Judgement:
    """D1."""
    public, site = facts.config.appeals.public, facts.config.mitigation.notify.site
    sinkhole = facts.config.mitigation.sinkhole
    link = f"the sinkhole's page leads to {site or 'no form'}" if sinkhole.enabled else "no sinkhole is switched on"
    form = "anybody can complain at /complaint" if public else "the public form is off (appeals.public)"
    linked = bool(site) or not sinkhole.enabled
    standing = (
        Standing.MET if public and linked else Standing.PARTLY if public or sinkhole.contact else Standing.NOT_MET
    )
    return standing, f"{form}; {link}; {len(facts.appeals)} complaints taken"


def three_logs(facts: Facts) -> Judgement:
    """D2."""
    kept = facts.config.retention.dns
    trail = "whole" if facts.broken_audit is None else f"broken at record {facts.broken_audit}"
    records = facts.last_audit.seq if facts.last_audit else 0
    since = f"{facts.kept_since:%Y-%m-%d}" if facts.kept_since else "nothing yet"
    text = (
        f"look-ups kept {kept.days} days (since {since}); {records} audit records of changes and maintenance, "
        f"chain {trail}, {facts.checkpoints} signed checkpoints"
    )
    return met(kept >= SIX_MONTHS and facts.broken_audit is None, text)


def authorised(facts: Facts) -> Judgement:
    """D3."""
    known = {one.id for one in facts.decisions}
    names = [one for one in facts.actions if one.mitigator == "rpz"]
    bare = [one.id for one in names if one.decision_id not in known]
    beyond = [
        one.id
        for one in facts.actions
        for decision in facts.decisions
        if decision.id == one.decision_id and one.expires_at > decision.expires_at
    ]
    text = f"{len(names)} entries of the policy zone, {len(bare)} without a decision, {len(beyond)} beyond its end"
    return met(not bare and not beyond, text)


def own_sinkhole(facts: Facts) -> Judgement:
    """D4."""
    targets, own = facts.config.mitigation.rpz.sinkhole, facts.config.mitigation.sinkhole.addresses
    if not targets:
        return Standing.NOT_USED, "no sinkhole address is configured"
    networks = [ipaddress.ip_network(network) for network in facts.config.sensor.home_net]
    foreign = [
        one
        for one in targets
        if one not in own and not any(ipaddress.ip_address(one) in network for network in networks)
    ]
    return met(not foreign, f"names are led to {listed(targets, 'none')}; not ours: {listed(foreign, 'none')}")


def threats_only(facts: Facts) -> Judgement:
    """D5."""
    other = [one.id for one in facts.orders if one.category not in CATEGORIES and one.code != 403 and one.code]
    text = f"{len(CATEGORIES)} categories of threats, content is none; {len(other)} orders outside were not refused"
    return met(not [one for one in other if "revocation" not in one], text, otherwise=Standing.PARTLY)


def stop_resolution(facts: Facts) -> Judgement:
    """D6."""
    able = [one.name for one in facts.mitigators if Measure.BLOCK in one.measures and one.name == "rpz"]
    return met(bool(able), f"resolution is stopped by {listed(able, 'nothing (mitigation.rpz.enabled)')}")


def within_a_day(facts: Facts) -> Judgement:
    """D7."""
    runs = any(one.id == "generic-24h" for one in facts.profiles)
    real = {one.id: one for one in facts.real}
    late = {
        one.incident_id
        for one in facts.reports
        if one.state is ReportState.ACKNOWLEDGED
        and one.receipt
        and one.stage_id in ("", "initial")
        and one.incident_id in real
        and one.receipt.received_at - real[one.incident_id].detected_at > REPORT_WITHIN
    }
    text = f"profile generic-24h {'runs' if runs else 'does not run'}; {len(late)} first reports were late"
    return met(runs and not late, text, otherwise=Standing.PARTLY if runs else Standing.NOT_MET)


def emergencies(facts: Facts) -> Judgement:
    """D8."""
    endless = [one.id for one in facts.actions if one.expires_at - one.created_at > timedelta(days=366)]
    text = f"every measure expires ({len(facts.actions)} seen, {len(endless)} beyond a year) and is in the audit trail"
    return met(not endless, text)


def scoped_queries(facts: Facts) -> Judgement:
    """D9."""
    settings = facts.config.queries
    if not settings.enabled:
        return Standing.NOT_USED, "queries.enabled is off: nobody's questions are answered"
    text = f"counts from {settings.smallest} on, {settings.per_hour} an hour, rows after approval, TLP:{settings.tlp}"
    return Standing.MET, text


def self_check(facts: Facts) -> Judgement:
    """D10: this very list, and that the trail it rests on is whole."""
    whole = facts.broken_audit is None
    return met(whole, f"read {facts.now:%Y-%m-%d %H:%M} UTC from the running system; audit chain whole: {whole}")


def drilled(facts: Facts) -> Judgement:
    """I1."""
    if not facts.drills:
        return Standing.NOT_MET, "no drill was held: tapwarden drill run"
    last = facts.drills[0]
    real = {one.id for one in facts.incidents if one.drill}
    mixed = [one.id for one in facts.reports if (one.incident_id in real) != (one.body.get("drill") is True)]
    fresh = facts.now - last.ended_at <= DRILL_EVERY
    text = f"last on {last.ended_at:%Y-%m-%d}: {last.score:.0%}; {len(mixed)} reports with a wrong mark"
    return met(fresh and not mixed and last.score == 1, text, otherwise=Standing.PARTLY)


def no_gaps(facts: Facts) -> Judgement:
    """I2."""
    if facts.quiet_hours is None:
        return Standing.PARTLY, "the event store does not answer"
    trail = "whole" if facts.broken_audit is None else f"broken at record {facts.broken_audit}"
    text = f"{facts.quiet_hours} of the last 24 hours without any event; audit chain {trail}"
    return met(facts.quiet_hours == 0 and facts.broken_audit is None, text, otherwise=Standing.PARTLY)


def minimal(facts: Facts) -> Judgement:
    """I3."""
    reporting = facts.config.reporting
    privacies = {"coordinating centre": reporting.privacy, **{one.name: one.privacy for one in reporting.receivers}}
    clear = [name for name, one in privacies.items() if one.internal == "clear" or one.payload > 0]
    count = sum(one.pseudonyms for one in facts.departures)
    text = f"{len(facts.departures)} documents left, {count} internal addresses as pseudonyms; given more: "
    return met(not clear, text + listed(clear, "nobody"), otherwise=Standing.PARTLY)


RULES = "Domain Name Rules"
FOUND = "Inspection of 2017"

DOMAIN_RULES: tuple[Rule, ...] = (
    Rule("D1", f"{RULES} art. 35", "complaints are taken and answered, the address is published", complaints),
    Rule("D2", f"{RULES} art. 36", "resolution, maintenance and change logs are kept and whole", three_logs),
    Rule("D3", f"{RULES} art. 37", "no change of resolution without authority", authorised),
    Rule("D4", f"{RULES} art. 37", "names are never led to others' addresses", own_sinkhole),
    Rule("D5", f"{RULES} arts. 28, 38, 40", "cyber threats only; content is out of scope", threats_only),
    Rule("D6", f"{RULES} art. 40", "resolution can be stopped on the authority's request", stop_resolution),
    Rule("D7", f"{RULES} art. 41", "incidents are reported within 24 hours", within_a_day),
    Rule("D8", f"{RULES} art. 41", "what is done in an emergency is logged and expires", emergencies),
    Rule("D9", f"{RULES} arts. 44-48", "questions of a centre are scoped, limited, logged, minimised", scoped_queries),
    Rule("D10", f"{RULES} arts. 51-52", "a self-check with one line for each article", self_check),
    Rule("I1", FOUND, "drills are held, marked, and never mixed with what is real", drilled),
    Rule("I2", FOUND, "gaps in the logs are noticed", no_gaps),
    Rule("I3", FOUND, "no more data than needed leaves", minimal),
)
