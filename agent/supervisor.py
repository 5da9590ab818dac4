"""systemd's readiness protocol: datagrams to the socket that NOTIFY_SOCKET names (sd_notify(3))."""

import os
import socket
from collections.abc import Mapping


def notify(message: str, environment: Mapping[str, str] | None = None) -> bool:
    """Tell the supervisor, for example ``READY=1``; False where there is none or it does not listen."""
    address = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # a supervisor that does not read must not hold up a duty, or the end
            channel.sendto(message.encode(), address)
    except OSError:
        return False
    return True
