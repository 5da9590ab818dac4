"""The ``tapwarden`` group: commands imported late, options every command takes, errors as one line."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import click

from tapwarden import __version__
from tapwarden.model.errors import ChannelError, ConfigError, MitigationError, RefusedError, SourceError, StoreError

EXIT_FAILED, EXIT_USAGE, EXIT_PARTIAL, EXIT_REFUSED = 1, 2, 3, 4


class Entry(NamedTuple):
    """One line of the command table; ``help`` is shown in the list of commands without importing the command."""

    name: str
    target: str
    help: str


@dataclass(frozen=True, slots=True)
class Invocation:
    """What every command is told: where everything lives, which configuration, how to print, how much to say."""

    root: Path | None = None
    config: Path | None = None
    output: str = "human"
    verbose: int = 0

    @property
    def as_json(self) -> bool:
        """Whether a program reads the output."""
        return self.output == "json"


class Failure(click.ClickException):
    """A command that could not do what was asked: one line on standard error, then the exit code."""

    exit_code = EXIT_FAILED

    def show(self, file: Any = None) -> None:
        click.echo(f"tapwarden: {printable(self.message)}", err=True, file=file)


class Partial(Failure):
    """Some of it was done."""

    exit_code = EXIT_PARTIAL


class Refused(Failure):
    """Policy said no."""

    exit_code = EXIT_REFUSED


def printable(text: str, *, keep_newlines: bool = True) -> str:
    """``text`` with control, format (bidirectional overrides, zero width) and unassigned characters written as escapes.

    Names, hosts and payload excerpts come from the network: a terminal must not obey them.
    """
    return "".join(
        char if char.isprintable() or (keep_newlines and char == "\n") else char.encode("unicode_escape").decode()
        for char in text
    )


def _option(name: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that records an option, given before or after the command's name; the last one wins."""

    def record(ctx: click.Context, _param: click.Parameter, value: Any) -> Any:
        if value is not None:
            ctx.obj = replace(ctx.obj or Invocation(), **{name: value})
        return value

    return record


def _shared_options() -> list[click.Option]:
    path = click.Path(path_type=Path)
    return [
        click.Option(
            ["--root"],
            type=path,
            metavar="DIR",
            expose_value=False,
            callback=_option("root"),
            envvar="TAPWARDEN_ROOT",
            help="Keep configuration, state, logs and sockets under DIR.",
        ),
        click.Option(
            ["-c", "--config"],
            type=path,
            metavar="FILE",
            expose_value=False,
            callback=_option("config"),
            envvar="TAPWARDEN_CONFIG",
            help="Configuration file  [default: /etc/tapwarden/tapwarden.yaml, under --root DIR/etc/tapwarden.yaml].",
        ),
        click.Option(
            ["-o", "--output"],
            type=click.Choice(["human", "json"]),
            expose_value=False,
            callback=_option("output"),
            help="How to print  [default: human].",
        ),
        click.Option(
            ["-v", "--verbose"],
            count=True,
            default=None,
            expose_value=False,
            callback=_option("verbose"),
            help="Say more; twice: debug.",
        ),
    ]


def _add_shared_options(command: click.Command) -> None:
    taken = {opt for param in command.params for opt in param.opts}
    command.params.extend(option for option in _shared_options() if not taken.intersection(option.opts))


class Command(click.Command):
    """A command that also takes the shared options after its name (``tapwarden alerts list -o json``).

    A command that declares an option of the same name keeps its own. ``ctx.obj`` is the Invocation.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _add_shared_options(self)


class Group(click.Group):
    """A group of such commands (``tapwarden alerts ...``); takes the shared options as well."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _add_shared_options(self)


class _LazyGroup(Group):
    """The top: finds commands in the table and turns our errors into one line and an exit code."""

    def __init__(self, *args: Any, entries: Sequence[Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entries = {entry.name: entry for entry in entries}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.help) for entry in self._entries.values()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RefusedError as error:
            raise Refused(f"refused: {error}") from error
        except (ConfigError, SourceError, StoreError, MitigationError, ChannelError) as error:
            raise Failure(str(error)) from error
        except PermissionError as error:
            raise Failure(
                f"{error.filename or error}: permission denied; run as root or as the tapwarden user"
            ) from error


def lazy_group(entries: Sequence[Entry]) -> click.Group:
    """The ``tapwarden`` command over a table."""

    def top(check_only: bool) -> None:
        ctx = click.get_current_context()
        if check_only:
            command = group.get_command(ctx, "check")
            assert command is not None
            ctx.exit(ctx.invoke(command) or 0)
        if ctx.invoked_subcommand is None:
            click.echo(ctx.get_help())
            ctx.exit(EXIT_USAGE)

    group = _LazyGroup(
        "tapwarden",
        entries=entries,
        callback=top,
        invoke_without_command=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        help="Watch a network tap, stop threats under recorded authority, report incidents before the clock runs out.",
        epilog="Exit codes: 0 ok, 1 failed or invalid, 2 usage, 3 partial, 4 refused by policy.",
        params=[
            click.Option(
                ["-T", "check_only"], is_flag=True, help="Check the configuration and exit, like `tapwarden check`."
            ),
        ],
    )
    return click.version_option(__version__, prog_name="tapwarden")(group)
