"""Real captures under ET Open: how often our alerts are exactly Suricata's, and where they are not.

    python bench/captures.py [--home-net any|rfc1918] [--worst N] [--name SUBSTRING]

Reads ../shared/captures (captures, and in oracle.json the alerts per sid that Suricata 7.0.10 raises) and
../shared/rules/et-open.rules. A pair is (capture, sid); it agrees when the counts are equal.
"""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SHARED = TOP.parent / "shared"
HOME_NETS = ("any", "rfc1918")

Pairs = dict[tuple[str, int], int]


def expected(oracle: dict[str, object], home_net: str) -> Pairs:
    """The oracle's counts."""
    alerts = oracle["alerts_per_sid"]
    assert isinstance(alerts, dict)
    return {
        (capture, int(sid)): count
        for capture, by_home_net in alerts.items()
        for sid, count in by_home_net[home_net].items()
        if count
    }


def observed(captures: list[Path], variables: dict[str, str], scratch: Path) -> Pairs:
    """Our counts. Raises SystemExit when the command fails."""
    tapwarden = Path(sys.executable).with_name("tapwarden")
    command = [str(tapwarden), "read", "-S", str(SHARED / "rules" / "et-open.rules"), "-k", "none", "-l", str(scratch)]
    for name, value in variables.items():
        command += ["--set", f"vars.{name}={value}"]
    done = subprocess.run([*command, "-o", "json", *map(str, captures)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"tapwarden read failed ({done.returncode}): {done.stderr[-1000:]}")
    pairs: Pairs = collections.Counter()
    for capture in captures:
        eve = scratch / capture.name / "eve.json"
        with (eve if eve.exists() else scratch / "eve.json").open() as lines:
            for line in lines:
                if '"event_type":"alert"' in line:
                    pairs[capture.name, json.loads(line)["alert"]["signature_id"]] += 1
    return pairs


def compare(want: Pairs, got: Pairs, worst: int) -> bool:
    """Print the rates and the sids that differ most; whether the aims of 97 % and 3 % are met."""
    exact = sum(got.get(pair) == count for pair, count in want.items())
    only_ours = [pair for pair in got if pair not in want]
    rate, extra = 100 * exact / max(1, len(want)), 100 * len(only_ours) / max(1, len(want))
    print(f"  {exact}/{len(want)} pairs exact ({rate:.1f} %), {len(only_ours)} only ours ({extra:.1f} %)")
    differ = collections.Counter(pair[1] for pair, count in want.items() if got.get(pair, 0) != count)
    surplus = collections.Counter(sid for _, sid in only_ours)
    for title, sids in (("differ", differ), ("only ours", surplus)):
        if sids:
            print(f"  {title}: " + ", ".join(f"{sid} ({count})" for sid, count in sids.most_common(worst)))
    return rate >= 97 and extra <= 3


def main() -> int:
    """Run for each HOME_NET; exit status 0 when the aims are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--home-net", choices=HOME_NETS, action="append")
    parser.add_argument("--worst", type=int, default=20, help="sids listed [20]")
    parser.add_argument("--name", default="", help="only captures whose name contains this")
    args = parser.parse_args()
    oracle_file = SHARED / "captures" / "oracle.json"
    if not oracle_file.exists():
        print("../shared/captures is not there; nothing to compare with")
        return 0
    oracle = json.loads(oracle_file.read_text())
    captures = sorted(path for path in (SHARED / "captures").glob("*.pcap") if args.name in path.name)
    names = {path.name for path in captures}
    met = True
    for home_net in args.home_net or HOME_NETS:
        with tempfile.TemporaryDirectory(prefix="captures-") as scratch:
            got = observed(captures, oracle["variables"][home_net], Path(scratch))
        want = {pair: count for pair, count in expected(oracle, home_net).items() if pair[0] in names}
        print(f"HOME_NET {home_net}: {len(captures)} captures, {sum(got.values())} alerts, oracle {sum(want.values())}")
        met &= compare(want, got, args.worst)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
