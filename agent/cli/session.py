"""What commands start from: the configuration of this invocation, its parts, and who is at the keyboard."""

import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from tapwarden.agent.cli.group import Failure, Invocation
from tapwarden.agent.composition import Parts, composed
from tapwarden.agent.config import Config, Layout, load


def invocation(ctx: click.Context | None = None) -> Invocation:
    """The invocation of the running command."""
    found = (ctx or click.get_current_context()).obj
    return found if isinstance(found, Invocation) else Invocation()


def layout_of(asked: Invocation) -> Layout:
    """Where everything lives; relative inputs stand beside a configuration file named with ``-c``."""
    layout = Layout.at(asked.root)
    if asked.config is None:
        return layout
    return Layout(asked.config.absolute().parent, layout.lib, layout.log, layout.run)


def configured(asked: Invocation, settings: Sequence[str] = ()) -> tuple[Config, Layout]:
    """The configuration and the layout. Raises ConfigError."""
    layout = layout_of(asked)
    return load(layout, asked.config, settings), layout


@contextmanager
def session() -> Iterator[Parts]:
    """The parts for a short command; a KeyError inside (no such id) becomes one line."""
    config, layout = configured(invocation())
    with composed(config, layout) as parts:
        try:
            yield parts
        except KeyError as error:
            raise Failure(f"there is no {error.args[0]!r}; the `list` command shows what there is") from error


def person() -> str:
    """Who acts, for the audit trail: the login behind sudo, else the user of the process."""
    sudo = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    if sudo:
        return sudo
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
