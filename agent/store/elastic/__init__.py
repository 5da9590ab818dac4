"""The event store of a fleet: ECS documents in an Elasticsearch cluster (8.19 or 9.x), security on or off.

Written by the drain of the spool, or by the path itself; read by the dashboard and the command line. Nothing rests on
what a distribution may lack: data streams are used where the server has them; scripts, ILM and licensed features
never are.
"""

from tapwarden.agent.store.elastic.connection import Settings
from tapwarden.agent.store.elastic.examination import examine
from tapwarden.agent.store.elastic.store import ElasticEventStore

__all__ = ["ElasticEventStore", "Settings", "examine"]
