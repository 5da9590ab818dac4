"""Accounts: argon2id password hashes, the password policy, and the first administrator."""

import base64
import threading
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tapwarden.model.ports import CaseStore, Clock
from tapwarden.model.user import Role, User

Rng = Callable[[int], bytes]
"""``rng(n)`` gives n unpredictable octets; ``os.urandom`` outside tests."""

MIN_PASSWORD = 12
MAX_PASSWORD = 256
"""NIST SP 800-63B section 5.1.1.2: length instead of composition rules, long ones allowed but bounded."""

MAX_NAME = 64


class Passwords:
    """Hashes and verifies with argon2id (RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes).

    At most two run at a time: a burst of log-ins must not take the memory the sensor on the same host needs.
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = threading.BoundedSemaphore(2)
        self._decoy = self._hasher.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """An argon2id string with its own salt."""
        with self._slots:
            return self._hasher.hash(password)

    def verify(self, user: User | None, password: str) -> bool:
        """Whether the password is the user's. An unknown or disabled user takes as long as a wrong password."""
        usable = user is not None and not user.disabled
        stored = user.password_hash if user is not None and usable else self._decoy
        if len(password) > MAX_PASSWORD:
            return False
        try:
            with self._slots:
                self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
        return usable

    def outdated(self, user: User) -> bool:
        """Whether the hash was made with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(user.password_hash)


def password_problem(name: str, password: str) -> str:
    """Why this password cannot be taken, or ""."""
    if len(password) < MIN_PASSWORD:
        return f"A password has at least {MIN_PASSWORD} characters."
    if len(password) > MAX_PASSWORD:
        return f"A password has at most {MAX_PASSWORD} characters."
    if name.lower() in password.lower():
        return "A password must not contain the user's name."
    if len(set(password)) < 5:
        return "A password needs at least five different characters."
    return ""


def name_problem(name: str) -> str:
    """Why this cannot be a user's name, or "". Names appear in the audit trail, so they are plain ASCII."""
    if not 1 <= len(name) <= MAX_NAME:
        return f"A name has 1 to {MAX_NAME} characters."
    if not all(c.isascii() and (c.isalnum() or c in "._-@") for c in name):
        return "A name is made of letters, digits and . _ - @."
    return ""


def one_time_password(rng: Rng) -> str:
    """100 bits as four groups of five letters and digits, easy to read over a shoulder-free phone line."""
    text = base64.b32encode(rng(15)).decode().lower()[:20]
    return "-".join(text[at : at + 5] for at in range(0, 20, 5))


def ensure_admin(cases: CaseStore, clock: Clock, rng: Rng, passwords: Passwords | None = None) -> str | None:
    """Create the user ``admin`` when there is no user at all.

    Returns the one-time password to print (it has to be changed at the first log-in), or None when people exist.
    Raises StoreError.
    """
    with cases.transaction():
        if cases.users():
            return None
        password = one_time_password(rng)
        now = clock.now()
        hashed = (passwords or Passwords()).hash(password)
        cases.put_user(User("admin", Role.ADMIN, hashed, created_at=now, must_change=True))
        cases.audit(actor="system", verb="user.create", subject="user:admin", detail="first start", at=now)
    return password
