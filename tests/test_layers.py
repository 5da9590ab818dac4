"""Who may import whom (ARCHITECTURE.md). import-linter cannot see packages mapped by setup.py; the syntax tree can."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
AREAS = ("agent", "collectors", "signatures", "mitigation", "dashboards")
INSIDE_AGENT = ("config", "enrich", "triage", "store", "report", "coordinate")


def modules() -> Iterator[tuple[str, Path]]:
    roots = {"tapwarden": TOP / "src" / "tapwarden", **{f"tapwarden.{area}": TOP / area for area in AREAS}}
    for package, root in roots.items():
        for path in sorted(root.rglob("*.py")):
            parts = [part for part in path.relative_to(root).with_suffix("").parts if part != "__init__"]
            yield ".".join([package, *parts]), path


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def reachable(module: str) -> tuple[str, ...]:
    """The packages a module may import from, itself and its own package among them."""
    parts = module.split(".")
    area, inner = [*parts, "", ""][1:3]
    below = ("tapwarden.model", "tapwarden._core", "tapwarden.__version__")
    if area == "model":
        return ("tapwarden.model",)
    if area == "__main__":
        return (*below, "tapwarden.agent")
    if area == "agent" and inner in INSIDE_AGENT:
        return (*below, f"tapwarden.agent.{inner}")
    if area == "agent" and inner != "cli":
        agent = [f"tapwarden.agent.{path.stem}" for path in (TOP / "agent").iterdir() if path.stem != "cli"]
        return (*below, *agent, *(f"tapwarden.{other}" for other in AREAS if other != "agent"))
    if area == "agent":
        return ("tapwarden",)
    return (*below, *((f"tapwarden.{area}",) if area in AREAS else ()))


def forbidden(module: str, imported: str) -> bool:
    """Whether the architecture forbids this import."""
    if within(imported, *AREAS):
        return True
    if not within(imported, "tapwarden") or imported == "tapwarden":
        return False
    # `from tapwarden.agent import runtime` names the package as well; what counts is what is taken from it.
    packages = {"tapwarden.agent"} if module.startswith("tapwarden.agent") else set()
    return imported not in packages and not within(imported, *reachable(module))


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=lambda value: value if isinstance(value, str) else "")
def test_module_imports_only_what_its_layer_may(module: str, path: Path) -> None:
    wrong = sorted(name for name in imports(path) if forbidden(module, name))
    assert not wrong, f"{module} imports {', '.join(wrong)}"


@pytest.mark.parametrize(
    ("module", "imported", "expected"),
    [
        ("tapwarden.mitigation.guard", "tapwarden.agent.store", True),
        ("tapwarden.mitigation.guard", "tapwarden.model.decision", False),
        ("tapwarden.mitigation.guard", "agent.store", True),
        ("tapwarden.dashboards.app", "tapwarden.collectors", True),
        ("tapwarden.agent.triage.group", "tapwarden.agent.store", True),
        ("tapwarden.agent.triage.group", "tapwarden.agent.triage.policy", False),
        ("tapwarden.agent.triage.group", "tapwarden.mitigation", True),
        ("tapwarden.agent.pipeline", "tapwarden.mitigation.ledger", False),
        ("tapwarden.agent.runtime", "tapwarden.agent.cli", True),
        ("tapwarden.model.event", "tapwarden.agent", True),
        ("tapwarden.__main__", "tapwarden.agent.cli", False),
    ],
)
def test_the_rule_itself_says_no_and_yes(module: str, imported: str, expected: bool) -> None:
    assert forbidden(module, imported) is expected
