"""The ``nft`` program, told in JSON (libnftables-json(5)).

It is run as a process and not loaded as a library: it may exit() on errors, its ABI changes, and a process inherits
just the one capability it needs (CAP_NET_ADMIN, ambient). What it is told is JSON on standard input.
"""

import os
import shutil
import subprocess

from tapwarden.mitigation.namespace import inside
from tapwarden.model.errors import MitigationError


class AbsentError(MitigationError):
    """What was asked for or to be changed is not in the kernel."""


class Nft:
    """Runs ``program`` in the network namespace ``netns`` ("" for the present one)."""

    def __init__(self, netns: str = "", *, program: str = "nft", timeout_s: float = 60) -> None:
        self._netns, self._program, self._timeout_s = netns, program, timeout_s

    def run(self, *arguments: str, given: str = "") -> str:
        """What it prints. Raises MitigationError; AbsentError for what is not in the kernel."""
        # Daemons and users often lack the sbin directories in their path.
        path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
        program = shutil.which(self._program, path=path)
        if program is None:
            raise MitigationError(f"{self._program} is not installed: install the package nftables")
        environment = {"PATH": path, "LC_ALL": "C"}  # the messages are told apart below
        try:
            done = inside(
                self._netns,
                lambda: subprocess.run(
                    [program, *arguments],
                    input=given,
                    capture_output=True,
                    encoding="utf-8",
                    errors="replace",
                    env=environment,
                    timeout=self._timeout_s,
                    check=False,
                ),
            )
        except subprocess.TimeoutExpired:
            raise MitigationError(f"nft did not answer in {self._timeout_s:g} s") from None
        except OSError as problem:
            raise MitigationError(f"{program} cannot be run: {problem.strerror}") from None
        if done.returncode == 0:
            return done.stdout
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        message = lines[0][:300] if lines else f"exit status {done.returncode}"
        if "No such file or directory" in message:
            raise AbsentError(f"nft: {message}")
        if "Operation not permitted" in message:
            raise MitigationError(
                "nft may not change the packet filter: run as root or grant CAP_NET_ADMIN "
                "(AmbientCapabilities=CAP_NET_ADMIN in a systemd unit)"
            )
        raise MitigationError(f"nft: {message}")
