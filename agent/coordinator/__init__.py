"""The reference coordinating centre: receives, checks and acknowledges reports. For tests, drills and small sites."""

from tapwarden.agent.coordinator.app import create_coordinator
from tapwarden.agent.coordinator.serve import serve, serving
from tapwarden.agent.coordinator.settings import CoordinatorSettings

__all__ = ["CoordinatorSettings", "create_coordinator", "serve", "serving"]
