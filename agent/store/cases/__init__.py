"""The case store: triage, incidents, decisions, actions, reports, people and the audit trail, in one SQL database.

Written by triage, the desk and the outbox; read by the dashboard and the command line. SQLite by default, PostgreSQL
where several managers share it.
"""

from tapwarden.agent.store.cases.orders import SqlOrderStore
from tapwarden.agent.store.cases.store import SqlCaseStore

__all__ = ["SqlCaseStore", "SqlOrderStore"]
