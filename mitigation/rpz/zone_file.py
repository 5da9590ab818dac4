"""The zone as a master file (RFC 1035, section 5), for resolvers that read one; each record names its decision."""

import contextlib
import os
import tempfile
from pathlib import Path

from tapwarden.mitigation.rpz.transfer import Zone
from tapwarden.model.errors import MitigationError


def write_zone_file(zone: Zone, path: Path) -> None:
    """Replace ``path`` by the zone as it is now; readers see the old one or the new one. Raises MitigationError."""
    temporary = ""
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = file.name
            with zone.entries.zone() as (serial, records):
                print(f"; Written by Tapwarden: changes made here are lost.\n$ORIGIN {zone.origin}", file=file)
                print(f"$TTL {zone.ttl}", file=file)
                for rrset in (zone.soa(serial), zone.name_servers()):
                    print(rrset, file=file)
                for owner, kind, value, decisions in records:
                    comment = f" ; decision {decisions}" if decisions else ""
                    print(f"{owner} {kind} {value}{comment}", file=file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as problem:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise MitigationError(f"{path} cannot be written: {problem.strerror}") from problem
