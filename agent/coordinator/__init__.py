"""The reference coordinating centre, for tests, drills and small sites.

Receives, checks, acknowledges and determines reports; issues signed orders and hears what came of them; asks. Agents
come by TAXII 2.1 (``taxii``) or HTTPS (``report_api``), officers by ``order_api`` or ``pages``; all of it stands in one
database.
"""

from tapwarden.agent.coordinator.app import create_coordinator
from tapwarden.agent.coordinator.serve import serve, serving
from tapwarden.agent.coordinator.settings import CoordinatorSettings

__all__ = ["CoordinatorSettings", "create_coordinator", "serve", "serving"]
