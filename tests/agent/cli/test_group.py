"""The command line's frame: the lazy table, the shared options, errors as one line with the right exit code."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from tapwarden.agent.cli.group import Command, Entry, Invocation, lazy_group, printable
from tapwarden.model.errors import ConfigError, RefusedError, StoreError


@click.command(cls=Command)
@click.pass_obj
def show(invocation: Invocation | None) -> None:
    """Print what the command was told."""
    invocation = invocation or Invocation()
    click.echo(f"{invocation.output} {invocation.root}")


@click.command(cls=Command)
@click.argument("kind")
def fail(kind: str) -> None:
    """Raise what the areas raise."""
    raise {
        "config": ConfigError("unknown key", path="a.yaml", key="sensr", line=3),
        "refused": RefusedError("192.0.2.1 is protected", entry="never_block: 192.0.2.0/24"),
        "store": StoreError("disk full\x1b[2J"),
    }[kind]


TOP = lazy_group(
    [
        Entry("show", f"{__name__}:show", "Show."),
        Entry("fail", f"{__name__}:fail", "Fail."),
        Entry("absent", "tapwarden.no_such_module:x", "Never imported here."),
    ]
)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or type(sys)(__name__))
    monkeypatch.setattr(sys.modules[__name__], "show", show, raising=False)
    monkeypatch.setattr(sys.modules[__name__], "fail", fail, raising=False)


def test_help_lists_commands_without_importing_any() -> None:
    result = CliRunner().invoke(TOP, ["--help"])
    assert result.exit_code == 0
    assert "Never imported here." in result.output


@pytest.mark.parametrize("args", [["-o", "json", "--root", "r", "show"], ["show", "-o", "json", "--root", "r"]])
def test_shared_options_may_stand_before_or_after_the_command(args: list[str]) -> None:
    assert CliRunner().invoke(TOP, args).output == "json r\n"


def test_an_option_before_the_command_survives_when_another_is_given_after_it() -> None:
    assert CliRunner().invoke(TOP, ["--root", "r", "show", "-o", "json"]).output == "json r\n"


@pytest.mark.parametrize(
    ("kind", "code", "line"),
    [
        ("config", 1, "tapwarden: a.yaml:3: sensr: unknown key\n"),
        ("refused", 4, "tapwarden: refused: 192.0.2.1 is protected [never_block: 192.0.2.0/24]\n"),
        ("store", 1, "tapwarden: disk full\\x1b[2J\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(kind: str, code: int, line: str) -> None:
    result = CliRunner().invoke(TOP, ["fail", kind])
    assert (result.exit_code, result.stderr) == (code, line)


@pytest.mark.parametrize("args", [[], ["nonsense"], ["show", "--nonsense"]])
def test_wrong_usage_exits_with_2(args: list[str]) -> None:
    assert CliRunner().invoke(TOP, args).exit_code == 2


def test_text_from_the_network_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b]0;x\x07\u202eb\r") == "a\\x1b]0;x\\x07\\u202eb\\r"


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    heavy = ("sqlalchemy", "fastapi", "scapy", "pydantic", "rich", "yaml", "apscheduler")
    code = f"import sys; import tapwarden.agent.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
