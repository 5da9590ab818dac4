"""M1 to M17. Articles 3 to 15 are numbered from secondary sources."""

from datetime import timedelta

from tapwarden.agent.compliance.facts import Facts
from tapwarden.agent.compliance.judging import Judgement, Rule, listed, met
from tapwarden.model.appeal import OPEN_APPEALS
from tapwarden.model.decision import AuthorityKind, Measure
from tapwarden.model.incident import IncidentState, Ownership
from tapwarden.model.office import Standing
from tapwarden.model.order import OrderState
from tapwarden.model.report import ReportState

OPEN_ORDERS = (OrderState.RECEIVED, OrderState.PENDING_APPROVAL, OrderState.APPROVED)


def roles(facts: Facts) -> Judgement:
    """M1."""
    reporting = facts.config.reporting
    named = [reporting.profile, *reporting.also]
    measures = sorted({measure.value for one in facts.mitigators for measure in one.measures})
    text = f"profiles {listed(named, 'none')}; measures that can be taken: {listed(measures, 'none')}"
    return met(bool(reporting.organisation), text, otherwise=Standing.PARTLY)


def harm_stated(facts: Facts) -> Judgement:
    """M2: a decision cannot be stored without reason, scope and legal basis; counted all the same."""
    bare = [one.id for one in facts.decisions if not (one.reason and one.scope and one.authority.legal_basis)]
    total = len(facts.decisions)
    return met(not bare, f"{total - len(bare)} of {total} decisions state reason, scope and legal basis")


def classified(facts: Facts) -> Judgement:
    """M3."""
    bare = [one.id for one in facts.real if not one.subtype]
    text = f"{len(facts.real) - len(bare)} of {len(facts.real)} incidents have class and sub-type of the closed list"
    return met(not bare, text + (f"; without: {', '.join(bare[:3])}" if bare else ""), otherwise=Standing.PARTLY)


def routed(facts: Facts) -> Judgement:
    """M4."""
    reporting = facts.config.reporting
    places = ["coordinating centre"] if reporting.coordinator.url else []
    places += [f"{one.name} ({listed(one.profiles, 'no profile')})" for one in reporting.receivers]
    standing = Standing.MET if len(places) > 1 else Standing.PARTLY if places else Standing.NOT_MET
    return standing, f"reports go to: {listed(places, 'nobody')}"


def latencies(facts: Facts) -> Judgement:
    """M5."""
    told = [f"{name.replace('_', ' ')} {one.median_s / 3600:.2f} h" for name, one in facts.figures.latencies.items()]
    text = f"this quarter, median: {listed(told, 'nothing to measure yet')}"
    return met(bool(told) or not facts.real, text, otherwise=Standing.PARTLY)


def responsible(facts: Facts) -> Judgement:
    """M6."""
    wrong = facts.figures.false_positives
    rate = "nothing determined yet" if wrong is None else f"{wrong:.1%} of what was determined was rejected"
    obstacle = facts.reporter.obstacle()
    named = f"{facts.reporter.responsible_person}, {facts.reporter.contact_24x7}"
    return met(not obstacle, f"{obstacle or named}; {rate}")


def own_or_reported(facts: Facts) -> Judgement:
    """M7."""
    theirs = {one.id for one in facts.real if one.ownership is Ownership.THIRD_PARTY}
    taken = [one.id for one in facts.decisions if one.incident_id in theirs and one.measure is not Measure.NOTIFY]
    text = f"{len(theirs)} incidents in third parties' networks, {len(taken)} measures decided on them"
    return met(not taken, text)


def connector(facts: Facts) -> Judgement:
    """M8."""
    centre = facts.config.reporting.coordinator
    schemas = sorted({str(one.body.get("schema", "")) for one in facts.reports} - {""})
    text = f"channel {centre.channel} to {centre.url or 'nobody'}; documents {listed(schemas, 'none yet')}"
    return met(bool(centre.url), text)


def determined(facts: Facts) -> Judgement:
    """M9."""
    done = [one for one in facts.real if one.determined_by]
    same = [one.id for one in done if one.determined_by == one.opened_by]
    rejected = {one.id for one in facts.real if one.state is IncidentState.REJECTED}
    alive = [one for one in facts.actions if one.incident_id in rejected and one.ended_at is None and one.applied_at]
    text = f"{len(done)} determined, {len(same)} by their detector; {len(alive)} measures alive on rejected ones"
    return met(not same and not alive, text)


def order_kinds(facts: Facts) -> Judgement:
    """M10."""
    if not facts.config.orders.enabled:
        return Standing.NOT_USED, "orders.enabled is off: no centre's orders are followed"
    ways = ", ".join(facts.config.orders.measures)
    return Standing.MET, f"{ways} can be ordered; {len(facts.orders)} orders received"


def signed(facts: Facts) -> Judgement:
    """M11."""
    settings = facts.config.orders
    if not settings.enabled:
        return Standing.NOT_USED, "orders.enabled is off"
    oral = [one for one in facts.orders if one.confirmed_by]
    unpapered = [
        one.id
        for one in oral
        if one.state in (OrderState.APPLIED, OrderState.EFFECTIVE) and facts.now - one.received_at > timedelta(hours=24)
    ]
    names = listed([one.name for one in settings.issuers], "nobody")
    return met(not unpapered, f"signed by {names}; {len(oral)} oral ones, {len(unpapered)} beyond 24 h without paper")


def fed_back(facts: Facts) -> Judgement:
    """M12."""
    if not facts.config.orders.enabled:
        return Standing.NOT_USED, "orders.enabled is off"
    answered = [one for one in facts.orders if one.code]
    text = f"{len(answered)} of {len(facts.orders)} orders have a status"
    return met(len(answered) == len(facts.orders), text)


def appeals(facts: Facts) -> Judgement:
    """M13."""
    terms, now = facts.config.appeals, facts.now
    late = [one.number for one in facts.appeals if one.state in OPEN_APPEALS and one.answer_due < now]
    slow = [one.number for one in facts.appeals if one.acknowledged_at > one.ack_due]
    bare = [one.number for one in facts.appeals if one.answered_at and not one.reasons]
    text = (
        f"{len(facts.appeals)} complaints: {len(late)} answers overdue, {len(slow)} acknowledged late, {len(bare)} "
        f"without reasons; answered within {terms.decision_days} working days, filed within {terms.filing_days}"
    )
    return met(not late and not slow and not bare, text)


def local_measures(facts: Facts) -> Judgement:
    """M14."""
    ours = [one for one in facts.decisions if one.authority.kind is not AuthorityKind.ORDER]
    reported = {one.incident_id for one in facts.reports}
    silent = [one.id for one in ours if one.incident_id not in reported]
    return met(not silent, f"{len(ours)} decided here, all under a name; {len(silent)} without a report")


def overdue(facts: Facts) -> Judgement:
    """M15."""
    late = [one.id for one in facts.orders if one.state in OPEN_ORDERS and one.due_at < facts.now]
    clocks = [one.id for one in facts.timers if one.due_at and one.due_at < facts.now and not one.drill]
    return met(not late and not clocks, f"{len(late)} orders and {len(clocks)} report clocks are overdue")


def graded(facts: Facts) -> Judgement:
    """M16."""
    grave = [one.id for one in facts.real if facts.grades(one)["miit-2017"].level in (1, 2)]
    phone = facts.config.reporting.contact.phone or facts.config.reporting.coordinator.url
    text = f"{len(grave)} incidents of level I or II; told at once through {phone or 'nobody'}"
    return met(bool(phone), text)


def inherited(facts: Facts) -> Judgement:
    """M17."""
    file = facts.config.reporting.profiles_file
    text = f"{len(facts.profiles)} profiles run ({listed([one.id for one in facts.profiles], 'none')})"
    return Standing.MET, f"{text}; own ones from {file}" if file else f"{text}; own ones: reporting.profiles_file"


def acknowledged(facts: Facts) -> int:
    """Reports that were acknowledged."""
    return sum(one.state is ReportState.ACKNOWLEDGED for one in facts.reports)


NAME = "Measures"

MEASURE_RULES: tuple[Rule, ...] = (
    Rule("M1", f"{NAME}, notice", "operator roles select profile and measures", roles),
    Rule("M2", f"{NAME} art. 1", "every measure states the harm and whose rights are touched", harm_stated),
    Rule("M3", f"{NAME} art. 2", "one class and sub-type of the closed list for each incident", classified),
    Rule("M4", f"{NAME} art. 3", "reports are routed by jurisdiction, two levels", routed),
    Rule("M5", f"{NAME} art. 4", "latencies are measured and shown", latencies),
    Rule("M6", f"{NAME} art. 5", "a responsible person and a contact day and night; false positives", responsible),
    Rule("M7", f"{NAME} art. 6", "own networks are acted on, others' reported", own_or_reported),
    Rule("M8", f"{NAME} art. 6", "the platform is connected, documents have a schema version", connector),
    Rule("M9", f"{NAME} art. 7", "determined by somebody else; what is rejected is withdrawn", determined),
    Rule("M10", f"{NAME} art. 8", "the kinds of orders can be carried out", order_kinds),
    Rule("M11", f"{NAME} art. 8", "orders are signed; an oral one needs its paper within 24 h", signed),
    Rule("M12", f"{NAME} art. 9", "orders have a due time and feedback", fed_back),
    Rule("M13", f"{NAME} art. 10", "measures can be appealed against and undone", appeals),
    Rule("M14", f"{NAME} art. 11", "what is decided here has an owner and is reported", local_measures),
    Rule("M15", f"{NAME} art. 12", "what is overdue alarms", overdue),
    Rule("M16", f"{NAME} art. 13", "four-level grading, grave ones told at once", graded),
    Rule("M17", f"{NAME} art. 14", "profiles inherit", inherited),
)
