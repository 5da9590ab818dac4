"""Tables: a row a line where no terminal watches, identifiers in one piece."""

import pytest

from tapwarden.agent.cli.output import print_table


def test_a_piped_table_has_a_row_in_a_line_and_whole_identifiers(capsys: pytest.CaptureFixture[str]) -> None:
    ident = "895a779f171149c17ed0"
    title = "EXAMPLE beacon to a command and control server"
    print_table(["id", "title", "reason"], [[ident, title, "word " * 20]], empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert ident in lines[1]
    assert title in lines[1]
