"""The command line: one module a command, imported when the command is asked for, one line each in ``COMMANDS``.

Exit codes: 0 ok, 1 failed or invalid, 2 usage, 3 partial, 4 refused by policy. Others script against this: it changes
only with a line in the change log.
"""

from tapwarden.agent.cli.group import Command, Entry, lazy_group

COMMANDS = (
    Entry(
        "run", "tapwarden.agent.cli.run:run", "Watch an interface or replay a capture: sensor, decisions and dashboard."
    ),
    Entry("read", "tapwarden.agent.cli.read:read", "Analyse capture files offline and write eve.json."),
    Entry("check", "tapwarden.agent.cli.check:check", "Check configuration, rules and indicators (also -T)."),
    Entry(
        "doctor",
        "tapwarden.agent.cli.doctor:doctor",
        "Say what keeps this host from seeing, storing, acting, reporting.",
    ),
    Entry("rules", "tapwarden.agent.cli.rules:rules", "Try rules on a capture; say why one matches or does not."),
    Entry("alerts", "tapwarden.agent.cli.alerts:alerts", "The inbox: list, show, archive or escalate alert groups."),
    Entry("incidents", "tapwarden.agent.cli.incidents:incidents", "List, show, open and close incidents."),
    Entry("actions", "tapwarden.agent.cli.actions:actions", "List, decide and roll back blocks and other measures."),
    Entry("orders", "tapwarden.agent.cli.orders:orders", "Orders of coordinating centres: list, approve, reject."),
    Entry(
        "queries", "tapwarden.agent.cli.queries:queries", "Queries of coordinating centres: what was asked and told."
    ),
    Entry("allow", "tapwarden.agent.cli.allow:allow", "What nothing may be done to, and which entry says so."),
    Entry("appeals", "tapwarden.agent.cli.appeals:appeals", "Complaints: list, show, lift, answer."),
    Entry("audit", "tapwarden.agent.cli.audit:audit", "Who did what: list, verify, sign."),
    Entry("report", "tapwarden.agent.cli.report:report", "List, show, sign off and send reports."),
    Entry("compliance", "tapwarden.agent.cli.compliance:compliance", "How each requirement of the law stands here."),
    Entry("drill", "tapwarden.agent.cli.drill:drill", "A synthetic incident through the whole chain, scored."),
    Entry("evidence", "tapwarden.agent.cli.evidence:evidence", "Packets of alerts: show, hold, export, verify."),
    Entry("store", "tapwarden.agent.cli.store:store", "What is kept on this host, for how long, and what waits."),
    Entry(
        "coordinator",
        "tapwarden.agent.cli.coordinator:coordinator",
        "A reference coordinating centre, for tests and drills.",
    ),
)
"""Every command: name, ``module:attribute``, the line shown in ``tapwarden --help``."""

cli = lazy_group(COMMANDS)

__all__ = ["COMMANDS", "Command", "Entry", "cli"]
