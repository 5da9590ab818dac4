"""The conformance corpus against the aims: alerts exactly Suricata's per case, tuples and record counts.

    python bench/conformance.py [--engine COMMAND] [options of check.py]

Runs ../shared/conformance/check.py on the visible cases and compares its rates with the aims. Exit status 1 below one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
CORPUS = TOP.parent / "shared" / "conformance"

Result = dict[str, Any]


def is_evader(result: Result) -> bool:
    """Of the suite of HTTP evasions, which is counted apart."""
    return "suite:http-evader" in result["tags"]


def is_first_tier(result: Result) -> bool:
    """What real rule sets mostly use."""
    return result["tier"] == 1 and not is_evader(result)


@dataclass(frozen=True)
class Aim:
    """A rate that has to be reached: which cases count, what must be true of them, percent."""

    name: str
    counts: Callable[[Result], bool]
    holds: str
    percent: float

    def rate(self, results: list[Result]) -> tuple[int, int]:
        """Cases that hold, cases that count."""
        held = [bool(result[self.holds]) for result in results if self.counts(result)]
        return sum(held), len(held)


AIMS = (
    Aim("tier 1: alerts per sid exact", is_first_tier, "ok", 98),
    Aim("http-evader: alerts per sid exact", is_evader, "ok", 95),
    Aim("tier 1: alert tuples exact", is_first_tier, "tuples", 95),
    Aim("tier 1: record counts exact", lambda r: is_first_tier(r) and r["records"] is not None, "records", 95),
)


def judge(results: list[Result]) -> bool:
    """Print each rate beside its aim; whether all are reached. An aim no selected case counts for is not judged."""
    met = True
    for aim in AIMS:
        held, counted = aim.rate(results)
        if not counted:
            continue
        rate = 100 * held / counted
        met &= rate >= aim.percent
        verdict = "ok" if rate >= aim.percent else "BELOW"
        print(f"{aim.name:36} {held:4}/{counted:<4} {rate:5.1f} %, aim {aim.percent:g} %  {verdict}")
    return met


def main() -> int:
    """Run, print, judge; exit status 0 when every aim is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", default=str(Path(sys.executable).with_name("tapwarden")))
    args, passed_on = parser.parse_known_args()
    if not (CORPUS / "visible").is_dir():
        print("../shared/conformance is not there; nothing to compare with")
        return 0
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        found = Path(scratch) / "results.json"
        check = [sys.executable, str(CORPUS / "check.py"), str(CORPUS / "visible"), "--json", str(found)]
        # Its exit status says whether every case passed; the aims are judged here.
        subprocess.run([*check, "--engine", args.engine, *passed_on], check=False)
        if not found.exists():
            print("check.py gave no results")
            return 1
        return 0 if judge(json.loads(found.read_text())) else 1


if __name__ == "__main__":
    sys.exit(main())
