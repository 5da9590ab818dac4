"""The stores there are. A new one is a module and a line here."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.ports import CaseStore, Clock, EventStore

EVENT_STORES: Mapping[str, Callable[[Path, Clock], EventStore]] = {"embedded": EmbeddedEventStore}
"""By name; made of the folder for whatever is kept on this host, and the clock."""

CASE_STORES: Mapping[str, Callable[[str], CaseStore]] = {"sqlite": SqlCaseStore, "postgresql": SqlCaseStore}
"""By the scheme of the database's URL."""
