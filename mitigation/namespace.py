"""Work inside another network namespace of this host, by its name as ``ip netns`` knows it."""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tapwarden.model.errors import MitigationError

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
"""From linux/sched.h; ``os.setns`` came with Python 3.12 only."""

NAMED = Path("/run/netns")
"""Where ip-netns(8) keeps the namespaces it names."""


def inside(netns: str, work: Callable[[], T]) -> T:
    """The result of ``work`` run in the namespace ``netns`` ("" for the present one); its exceptions pass through.

    The namespace is a property of the thread (setns(2)), and processes it starts inherit it: a thread of its own,
    which ends afterwards, leaves all others where they are. Needs CAP_SYS_ADMIN. Raises MitigationError.
    """
    if not netns:
        return work()
    if "/" in netns or netns in (".", ".."):
        raise MitigationError(f"{netns!r} is not the name of a network namespace")
    results: list[T] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            enter(netns)
            results.append(work())
        except BaseException as failure:  # noqa: BLE001 - carried over to the caller's thread, nothing is swallowed
            failures.append(failure)

    thread = threading.Thread(target=body, name=f"netns-{netns}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def enter(netns: str) -> None:
    """Move this thread, which should be its own and end there, into the namespace. Raises MitigationError."""
    try:
        descriptor = os.open(NAMED / netns, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise MitigationError(f"network namespace {netns} does not exist (see: ip netns list)") from None
    except OSError as problem:
        raise MitigationError(f"network namespace {netns}: {problem.strerror}") from None
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise MitigationError(f"network namespace {netns}: {reason} (entering one needs CAP_SYS_ADMIN)")
    finally:
        os.close(descriptor)
