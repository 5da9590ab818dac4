"""Complaints of those who are affected: taken from anybody, acknowledged, answered with reasons in time."""

from tapwarden.agent.appeals.desk import AppealRules, Appeals, lifted_targets
from tapwarden.agent.appeals.replies import Replies

__all__ = ["AppealRules", "Appeals", "Replies", "lifted_targets"]
