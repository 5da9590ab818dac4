"""What the documents point to is there: a moved file takes its links along."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

TOP = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(r"(?<![\w/.-])docs/[\w./-]+\.(?:md|png)")


def tracked(*patterns: str) -> list[Path]:
    """Files of the project, by git; all that match where this is no checkout."""
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns],
        cwd=TOP,
        capture_output=True,
        check=False,
    )
    if found.returncode == 0:
        return [path for name in found.stdout.decode().split("\0") if name and (path := TOP / name).is_file()]
    return [path for pattern in patterns for path in TOP.rglob(pattern) if ".venv" not in path.parts]


def anchors(path: Path) -> set[str]:
    """The headings of a Markdown file as GitHub names them."""
    headings = re.findall(r"^#+ +(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", tracked("*.md"), ids=lambda path: str(path.relative_to(TOP)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    dead = []
    for link in LINK.findall(document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (document.parent / name).resolve() if name else document
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_document_that_a_file_names_is_there() -> None:
    files = tracked("*.md", "*.py", "*.pyi", "*.rs", "*.yaml", "*.service")
    assert files
    named = {(file, name) for file in files for name in NAMED_FILE.findall(file.read_text(encoding="utf-8"))}
    assert sorted(f"{file.relative_to(TOP)}: {name}" for file, name in named if not (TOP / name).exists()) == []


def test_the_page_of_engine_keys_is_as_the_source_has_them() -> None:
    made = subprocess.run(
        [sys.executable, TOP / "tools/engine_config_page.py"], capture_output=True, text=True, check=True
    )
    assert made.stdout == (TOP / "docs/engine-config.md").read_text(encoding="utf-8")
