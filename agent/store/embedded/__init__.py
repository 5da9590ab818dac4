"""The embedded event store: SQLite, one file a UTC day, searched without any server.

Written by the pipeline a batch at a time; read by the dashboard, the command line and report drafting, whose readers
never wait for the writer nor it for them (write-ahead log, connections of their own).
"""

from tapwarden.agent.store.embedded.store import EmbeddedEventStore

__all__ = ["EmbeddedEventStore"]
