"""The stores there are. A new one is a module and a line here."""

from collections.abc import Callable, Mapping

from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.elastic import ElasticEventStore
from tapwarden.agent.store.embedded import EmbeddedEventStore
from tapwarden.model.ports import CaseStore, EventStore

EVENT_STORES: Mapping[str, type[EventStore]] = {
    "embedded": EmbeddedEventStore,
    "elasticsearch": ElasticEventStore,
}
"""By the name of ``store.backend``; composition knows what each is made of."""

CASE_STORES: Mapping[str, Callable[[str], CaseStore]] = {"sqlite": SqlCaseStore, "postgresql": SqlCaseStore}
"""By the scheme of the database's URL."""
