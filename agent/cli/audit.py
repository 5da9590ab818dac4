"""``tapwarden audit``: who did what, and whether the record of it is what it was."""

from pathlib import Path

import click

from tapwarden.agent.audit import examine
from tapwarden.agent.cli.group import Failure, Group, Partial
from tapwarden.agent.cli.output import print_fields, print_json, print_table
from tapwarden.agent.cli.session import invocation, person, session
from tapwarden.agent.composition import checkpoints_of, signing_key_of
from tapwarden.agent.erasure import erase as erasing
from tapwarden.agent.store.cases import SqlCaseStore
from tapwarden.agent.store.cases.checkpoints import read_checkpoints
from tapwarden.agent.store.evidence.signing import fingerprint


@click.group(cls=Group)
def audit() -> None:
    """The audit trail: a hash chain with signed checkpoints."""


@audit.command("list")
@click.option("--subject", default="", help="Of this incident, decision or action only.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
def list_records(subject: str, limit: int) -> None:
    """List records, newest first."""
    with session() as parts:
        records = parts.cases.audit_records(subject=subject, limit=limit)
    if invocation().as_json:
        print_json(records)
        return
    rows = [(record.seq, record.at, record.actor, record.verb, record.subject, record.detail) for record in records]
    print_table(["record", "at", "by", "what", "subject", "detail"], rows, empty="nothing was done yet")


@audit.command()
@click.option(
    "--checkpoints",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Checkpoints kept elsewhere, instead of those beside the case store.",
)
@click.option("--public-key", metavar="HEX", default="", help="The key they were signed with (`audit key`).")
def verify(checkpoints: Path | None, public_key: str) -> None:
    """Check that no record was changed, removed or put in. Exit code 1 names the first that is not what it was."""
    with session() as parts:
        try:
            public = bytes.fromhex(public_key) if public_key else signing_key_of(parts.layout).public
        except ValueError as error:
            raise Failure("the public key is 64 hex digits, as `tapwarden audit key` prints it") from error
        kept = read_checkpoints(checkpoints) if checkpoints else checkpoints_of(parts.layout).all()
        verdict = examine(parts.cases, kept, public)
    if invocation().as_json:
        print_json(verdict)
    elif not verdict.problem:
        click.echo(f"{verdict.records} records are what they were; {verdict.checkpoints} signed checkpoints agree")
    if verdict.problem:
        raise Failure(verdict.problem)


@audit.command()
def checkpoint() -> None:
    """Sign where the trail is now; a running Tapwarden does it every ten minutes."""
    with session() as parts:
        head = next(iter(parts.cases.audit_records(limit=1)), None)
        made = head and checkpoints_of(parts.layout).take(head.seq, head.hash, parts.clock.now())
    click.echo(made.line() if made else "nothing was done since the last checkpoint")


@audit.command()
def key() -> None:
    """Print the public key of checkpoints and evidence: keep it, and copies of the checkpoints, elsewhere."""
    with session() as parts:
        public = signing_key_of(parts.layout).public
    print_fields({"public key": public.hex(), "fingerprint": fingerprint(public)})


@audit.command()
@click.argument("subject")
@click.option("--reason", required=True, help="Why; it stays in the trail, so leave the name out of it.")
def erase(subject: str, reason: str) -> None:
    """Make SUBJECT (an account, an address, a mailbox) unreadable in the trail; the chain stays as it is.

    Takes two people: the first asks, another one gives the same command within seven days. Exit code 3 when records of
    older versions have the name itself, which cannot be taken out of them.
    """
    with session() as parts:
        if not isinstance(parts.cases, SqlCaseStore):
            raise Failure("this case store cannot erase")
        outcome = erasing(parts.cases, subject, reason=reason, by=person(), now=parts.clock.now())
    if invocation().as_json:
        print_json(outcome)
    elif outcome.waits:
        click.echo("asked for; somebody else has to give the same command within seven days")
    else:
        done = outcome.erased
        click.echo(f"erased: {done.records} records and {outcome.complaints} complaints name nobody there any more")
    if outcome.erased.in_clear:
        raise Partial(f"{outcome.erased.in_clear} records of an older version have the name itself")
