"""What is kept how long on this host: events, evidence, logs and the spool, under one set of limits.

``holding``: what there is, found on the disk. ``limits``: what has to go, by age, by size, by the disk's free room.
``forecast``: for how many days the room will do.
"""

from tapwarden.agent.store.retention.forecast import Forecast, forecast
from tapwarden.agent.store.retention.holding import Holding, Kept, find_events, find_files, find_folders
from tapwarden.agent.store.retention.limits import Doomed, Limits, doomed

__all__ = [
    "Doomed",
    "Forecast",
    "Holding",
    "Kept",
    "Limits",
    "doomed",
    "find_events",
    "find_files",
    "find_folders",
    "forecast",
]
