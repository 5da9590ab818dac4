"""``tapwarden evidence``: the packets of alerts, legal holds, and bundles that prove themselves offline."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from tapwarden.agent.cli.group import Failure, Group, printable
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.composition import Parts, signing_key_of
from tapwarden.agent.evidence import alerts_of, bundle_of, evidence_folder, groups_of
from tapwarden.agent.store.evidence import BundleError, Hold, verify
from tapwarden.agent.store.evidence.pcapng import read
from tapwarden.agent.store.evidence.signing import fingerprint
from tapwarden.model.evidence import Frame, PacketEvidence

DISSECT_S = 60


@click.group(cls=Group)
def evidence() -> None:
    """Packets around alerts, legal holds, and signed bundles."""


@evidence.command()
@click.argument("identifier", metavar="ID")
@click.option("-w", "--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the pcapng file there.")
@click.option("-x", "--hex", "with_octets", is_flag=True, help="The octets of each packet, too.")
@click.option("--dissect", is_flag=True, help="Every field of each packet, by tshark where it is installed.")
def show(identifier: str, write: Path | None, with_octets: bool, dissect: bool) -> None:
    """Show the packets kept for an alert: ID is an event's, or an alert group's (its latest with packets)."""
    with session() as parts:
        found = _found(parts, identifier)
        capture = evidence_folder(parts.config, parts.layout).read(found)
    if write is not None:
        write.write_bytes(capture)
    frames = read(capture)
    if invocation().as_json:
        print_json({"evidence": found, "packets": [_fields(frame) for frame in frames]})
        return
    print_fields(
        {
            "alert": found.signature,
            "event": found.event_id,
            "flow": found.flow_id or "",
            "packets": f"{found.packets}{' (there was more before)' if found.begun_before else ''}",
            "sha256": found.sha256,
            "written to": str(write or ""),
        }
    )
    click.echo()
    if dissect:
        click.echo(printable(dissected(capture)))
        return
    for number, frame in enumerate(frames, 1):
        cut = f" of {frame.wire_octets}" if frame.wire_octets > len(frame.data) else ""
        click.echo(f"{number:>5}  {_when(frame)}  {len(frame.data)}{cut} octets  {_ends(frame)}")
        if with_octets:
            for line in _dump(frame.data):
                click.echo(f"       {line}")


@evidence.command()
@click.argument("incident_id", metavar="INCIDENT")
@click.option("--reason", required=True, help="Why it has to stay.")
def hold(incident_id: str, reason: str) -> None:
    """Put an incident's evidence under a legal hold: retention does not touch it."""
    with session() as parts:
        groups = groups_of(parts, incident_id)
        folder, now, by = evidence_folder(parts.config, parts.layout), parts.clock.now(), person()
        folder.hold(Hold(incident_id, reason, by, now.isoformat()))
        alerts = list(alerts_of(parts, groups))
        folder.extend(incident_id, [alert.id for alert in alerts])
        # The records themselves, too: their days may go before the hold does.
        name = folder.folder / "held" / incident_id / "events.json"
        name.write_bytes(b"".join(alert.raw + b"\n" for alert in alerts))
        parts.cases.audit(actor=by, verb="evidence.hold", subject=incident_id, detail=reason, at=now)
    click.echo(f"held: {len(alerts)} alerts of {incident_id}")


@evidence.command()
@click.argument("incident_id", metavar="INCIDENT")
@click.option("--reason", required=True, help="Why it may go.")
def release(incident_id: str, reason: str) -> None:
    """End a legal hold."""
    with session() as parts:
        if not evidence_folder(parts.config, parts.layout).release(incident_id):
            raise Failure(f"{incident_id} is under no hold")
        now, by = parts.clock.now(), person()
        parts.cases.audit(actor=by, verb="evidence.release", subject=incident_id, detail=reason, at=now)
    click.echo(f"released: {incident_id}")


@evidence.command()
def holds() -> None:
    """List legal holds."""
    with session() as parts:
        found = evidence_folder(parts.config, parts.layout).holds()
    if invocation().as_json:
        print_json(found)
    else:
        rows = ((one.incident_id, one.at, one.by, one.reason) for one in found)
        print_table(("incident", "since", "by", "reason"), rows, empty="nothing is under a hold")


@evidence.command()
@click.argument("incident_id", metavar="INCIDENT")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export(incident_id: str, file: Path) -> None:
    """Write an incident's evidence to FILE: events, packets, rules, hashes, actions and a signed manifest (ZIP)."""
    with session() as parts:
        key = signing_key_of(parts.layout)
        now, by = parts.clock.now(), person()
        written = bundle_of(parts, incident_id, now=now, by=by).sign(key)
        part = file.with_name(f".{file.name}.part")
        part.write_bytes(written)
        os.replace(part, file)
        parts.cases.audit(actor=by, verb="evidence.export", subject=incident_id, detail=file.name, at=now)
    listed = verify(written).manifest["files"]
    if invocation().as_json:
        print_json({"file": str(file), "files": len(listed), "key": fingerprint(key.public)})
    else:
        click.echo(f"{file}: {len(listed)} files, signed by the key {fingerprint(key.public)}")


@evidence.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", default="", help="Fingerprint of the key that has to have signed it.")
def verify_bundle(file: Path, key: str) -> None:
    """Verify a bundle offline: its signature and every file in it. Exit code 1 and the file's name if one is wrong."""
    try:
        found = verify(file.read_bytes(), trusted=key, name=file.name)
    except BundleError as error:
        raise Failure(str(error)) from error
    if invocation().as_json:
        print_json({"ok": True, "key": found.fingerprint, "manifest": found.manifest})
        return
    manifest = found.manifest
    print_fields(
        {
            "verified": f"{len(found.files)} files, all as they were signed",
            "key": found.fingerprint + ("" if key else "  (compare it with the sender's)"),
            "incident": manifest.get("incident", ""),
            "made": f"{manifest.get('created_at', '')} by {manifest.get('created_by', '')}",
            "host": manifest.get("host", ""),
            "clock": json.dumps(manifest.get("clock", {})),
            "ruleset": manifest.get("ruleset_sha256", ""),
            "configuration": manifest.get("configuration_sha256", ""),
        }
    )


def dissected(capture: bytes) -> str:
    """tshark's view of a capture. Raises Failure where it is not installed or fails."""
    tshark = shutil.which("tshark")
    if tshark is None:
        raise Failure(
            "tshark is not installed: apt-get install tshark, or write the file with -w and open it elsewhere"
        )
    with tempfile.TemporaryDirectory(prefix="tapwarden-") as folder:
        file = Path(folder) / "evidence.pcapng"
        file.write_bytes(capture)
        environment = {"PATH": os.defpath, "HOME": folder, "LC_ALL": "C.UTF-8"}
        try:
            ran = subprocess.run(
                [tshark, "-n", "-V", "-r", str(file)],
                capture_output=True,
                timeout=DISSECT_S,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            raise Failure(f"tshark did not end within {DISSECT_S} s") from error
    if ran.returncode:
        raise Failure(f"tshark: {ran.stderr.decode('utf-8', 'replace').strip()[:500]}")
    return ran.stdout.decode("utf-8", "replace")


def _found(parts: Parts, identifier: str) -> PacketEvidence:
    folder = evidence_folder(parts.config, parts.layout)
    found = folder.find(identifier)
    if found is not None:
        return found
    group = parts.cases.group(identifier)
    if group is None:
        if parts.events.get(identifier) is None:
            raise Failure(f"there is no event and no alert group {identifier!r}")
        raise Failure(f"no packets were kept for {identifier}")
    for alert in alerts_of(parts, [group]):
        found = folder.find(alert.id)
        if found is not None:
            return found
    raise Failure(f"no packets were kept for the group {identifier}")


def _when(frame: Frame) -> str:
    seconds, nanoseconds = divmod(frame.ns, 1_000_000_000)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{nanoseconds // 1000:06d}Z"


def _ends(frame: Frame) -> str:
    """The packet in a line, as scapy sees it."""
    from scapy.config import conf  # noqa: PLC0415 - a second to import, needed here only
    from scapy.layers import all as _layers  # noqa: F401, PLC0415
    from scapy.packet import Raw  # noqa: PLC0415

    kind = conf.l2types.num2layer.get(frame.linktype, Raw)
    try:
        return printable(kind(frame.data).summary(), keep_newlines=False)
    except Exception:  # noqa: BLE001 - a task boundary: a packet made to break a dissector still has its octets
        return "(scapy cannot read it)"


def _fields(frame: Frame) -> Mapping[str, object]:
    return {
        "at": _when(frame).replace(" ", "T"),
        "octets": len(frame.data),
        "wire_octets": frame.wire_octets,
        "linktype": frame.linktype,
        "hex": frame.data.hex(),
    }


def _dump(octets: bytes) -> list[str]:
    lines = []
    for begin in range(0, len(octets), 16):
        row = octets[begin : begin + 16]
        text = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        lines.append(f"{begin:04x}  {row.hex(' '):<47}  {text}")
    return lines
