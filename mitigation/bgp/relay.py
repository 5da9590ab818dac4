"""What ExaBGP runs as its API process: its standard input and output carried to our socket, octet for octet.

Run by its path, with the standard library only. It ends with either side, and ExaBGP ends with it.
"""

import contextlib
import os
import select
import socket
import sys


def carry(path: str) -> None:
    """Carry until one side closes."""
    with socket.socket(socket.AF_UNIX) as ours:
        ours.connect(path)
        while True:
            ready, _, _ = select.select([0, ours.fileno()], [], [])
            if 0 in ready:
                octets = os.read(0, 65536)
                if not octets:
                    return
                ours.sendall(octets)
            if ours.fileno() in ready:
                octets = ours.recv(65536)
                if not octets:
                    return
                while octets:
                    octets = octets[os.write(1, octets) :]


if __name__ == "__main__":
    with contextlib.suppress(OSError, KeyboardInterrupt):
        carry(sys.argv[1])
