"""``make conformance`` fails when a rate is below its aim, and says which."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def conformance() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("conformance_script", TOP / "bench" / "conformance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def case(tier: int = 1, *, ok: bool = True, tuples: bool = True, records: bool | None = True, tag: str = "") -> dict:
    return {"tier": tier, "tags": [tag] if tag else [], "ok": ok, "tuples": tuples, "records": records}


def test_all_aims_met_is_success(conformance: ModuleType) -> None:
    assert conformance.judge([case()] * 99 + [case(ok=False)])


@pytest.mark.parametrize(
    ("results", "named"),
    [
        ([case()] * 97 + [case(ok=False)] * 3, "tier 1: alerts per sid exact"),
        ([case()] * 94 + [case(tuples=False)] * 6, "tier 1: alert tuples exact"),
        ([case()] * 18 + [case(records=False)] + [case(records=None)] * 80, "tier 1: record counts exact"),
        ([case(tag="suite:http-evader", ok=False)], "http-evader"),
    ],
)
def test_one_rate_below_its_aim_is_failure(
    conformance: ModuleType, results: list[dict], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not conformance.judge(results)
    below = [line for line in capsys.readouterr().out.splitlines() if line.endswith("BELOW")]
    assert len(below) == 1
    assert below[0].startswith(named)


def test_the_second_tier_is_not_judged(conformance: ModuleType) -> None:
    assert conformance.judge([case(tier=2, ok=False, tuples=False, records=False)])
