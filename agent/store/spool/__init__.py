"""The disk spool between the engines and the event store: capture and enforcement never wait for the store.

The path appends batches (``Spool.append``); a thread of its own carries them to the store in order (``Drain``). A batch
is three frames at most, one for each class of event, in segment files of that class's lane; over its bound the spool
drops whole segments of the lowest class first. What was appended is stored exactly once: the store knows events by
their id, and the position that says what is stored moves only after the store has it.
"""

from tapwarden.agent.store.spool.drain import Drain
from tapwarden.agent.store.spool.spool import Fsync, Spool, SpoolStatus

__all__ = ["Drain", "Fsync", "Spool", "SpoolStatus"]
