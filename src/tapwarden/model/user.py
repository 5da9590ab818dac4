"""People who may log in to the dashboard."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Role(StrEnum):
    """What a person may do; each includes the ones before it, save auditor, which reads all and changes nothing."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    APPROVER = "approver"
    ADMIN = "admin"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class User:
    """An account. ``password_hash`` is an argon2id string; ``must_change`` is set while the one-time password holds."""

    name: str
    role: Role
    password_hash: str
    created_at: datetime
    must_change: bool = False
    disabled: bool = False
