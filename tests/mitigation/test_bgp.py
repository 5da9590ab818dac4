"""Black holes and flow specifications at a real BGP speaker: BIRD in a namespace of its own, ExaBGP in another."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tapwarden.mitigation.bgp import Bgp, BlackHole, Neighbour
from tapwarden.mitigation.bgp.route import black_hole, flows
from tapwarden.model.decision import Action, Measure, Target, TargetType
from tapwarden.model.errors import MitigationError

BIRD = """
router id 198.18.0.2;
flow4 table seen4; flow6 table seen6;
protocol device {{ scan time 1; }}
protocol direct {{ ipv4; ipv6; }}
protocol bgp upstream {{
  local 198.18.0.2 as 65002; neighbor 198.18.0.1 as 65001; passive;
  ipv4 {{ import all; export none; }}; ipv6 {{ import all; export none; }};
  {flow}
}}
"""
FLOW = "flow4 { table seen4; import all; export none; }; flow6 { table seen6; import all; export none; };"


class Router:
    """BIRD across a cable from the namespace that ExaBGP runs in."""

    def __init__(self, folder: Path, netns: str) -> None:
        self._control, self._file, self.netns = folder / "bird.ctl", folder / "bird.conf", netns
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, flow: str = FLOW) -> None:
        self._file.write_text(BIRD.format(flow=flow))
        command = ["ip", "netns", "exec", self.netns, "bird", "-f", "-c", str(self._file), "-s", str(self._control)]
        self._process = subprocess.Popen(command)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def says(self, words: str) -> str:
        asked = ["birdc", "-s", str(self._control), *words.split()]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False).stdout

    def routes(self) -> str:
        return self.says("show route all") + self.says("show route all table seen4")


@pytest.fixture
def router(netns: str, tmp_path: Path) -> Iterator[Router]:
    if shutil.which("bird") is None:
        pytest.skip("needs Debian's bird2")
    other = f"{netns}-r"
    with contextlib.ExitStack() as undo:
        for words in (
            f"netns add {other}",
            f"-n {netns} link add tw0 type veth peer name tw1 netns {other}",
            f"-n {netns} addr add 198.18.0.1/24 dev tw0",
            f"-n {netns} addr add 2001:db8:ff::1/64 dev tw0 nodad",
            f"-n {other} addr add 198.18.0.2/24 dev tw1",
            f"-n {other} addr add 2001:db8:ff::2/64 dev tw1 nodad",
            f"-n {netns} link set tw0 up",
            f"-n {other} link set tw1 up",
        ):
            subprocess.run(["ip", *words.split()], check=True, timeout=10)
            if words.startswith("netns"):
                undo.callback(subprocess.run, ["ip", "netns", "del", other], check=True, timeout=10)
        made = Router(tmp_path, other)
        undo.callback(made.stop)
        yield made


@pytest.fixture
def make(netns: str, tmp_path: Path) -> Iterator[Callable[..., Bgp]]:
    made: list[Bgp] = []

    def build(**settings: object) -> Bgp:
        how = BlackHole(next_hop_v6="2001:db8:ff::1", communities=("65001:100",))
        given = {"folder": tmp_path / "bgp", "netns": netns, "neighbours": [ROUTER], "black_hole": how, **settings}
        made.append(Bgp(**given))  # type: ignore[arg-type]
        return made[-1]

    yield build
    for one in made:
        one.stop()


ROUTER = Neighbour("198.18.0.2", 65002, "198.18.0.1", 65001, "198.18.0.1", hold_time_s=9)


def until(asked: Callable[[], bool], *, within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not asked():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


def notes(bgp: Bgp) -> dict[str, tuple[bool, str]]:
    return {entry.target.value: (entry.effective, entry.note) for entry in bgp.list()}


@pytest.mark.live
def test_routes_appear_at_the_router_are_read_back_and_go_when_withdrawn_or_over(
    router: Router, make: Callable[..., Bgp], act: Callable[..., Action]
) -> None:
    router.start()
    bgp, now = make(), datetime.now(UTC)
    bgp.start()
    asked = [
        act("203.0.113.7", id="a", expires_at=now + timedelta(hours=1)),
        act("2001:db8:1::7", id="b", expires_at=now + timedelta(hours=1)),
        act(Target(TargetType.ENDPOINT, "203.0.113.8:443/tcp"), id="c", expires_at=now + timedelta(hours=1)),
        act("203.0.113.64/26", id="d", measure=Measure.RATE_LIMIT, expires_at=now + timedelta(seconds=8)),
    ]
    bgp.apply(asked, now)
    until(lambda: len(bgp.list()) == 4 and all(entry.effective for entry in bgp.list()))
    assert {note for _, note in notes(bgp).values()} == {"announced to 198.18.0.2"}
    routes = router.routes()
    block = routes.split("203.0.113.7/32", 1)[1].split("unicast", 2)
    for community in ("(65535,666)", "(65535,65281)", "(65001,100)"):
        assert community in block[1]
    assert "2001:db8:1::7/128" in routes
    for flow in ("dst 203.0.113.7/32;", "src 203.0.113.7/32;", "dst 203.0.113.8/32; proto 6; dport 443;"):
        assert f"flow4 {{ {flow} }}" in routes
    assert "0x80060000, 0x46160000" in routes  # RFC 8955 section 7.3: 9600.0 octets a second as a float

    bgp.withdraw(asked[:1])
    until(lambda: "203.0.113.7" not in router.routes())
    until(lambda: "203.0.113.64" not in router.routes())  # nobody withdrew it: its time was over
    assert "203.0.113.8/32" in router.routes()
    assert "203.0.113.64/26" not in notes(bgp)


@pytest.mark.live
def test_after_exabgp_was_killed_or_the_session_was_lost_everything_is_announced_again(
    router: Router, make: Callable[..., Bgp], act: Callable[..., Action]
) -> None:
    router.start()
    bgp, now = make(), datetime.now(UTC)
    bgp.start()
    bgp.apply([act("203.0.113.7", expires_at=now + timedelta(hours=1))], now)
    until(lambda: "203.0.113.7/32" in router.routes() and notes(bgp)["203.0.113.7"][0])
    assert bgp._speaker._process is not None
    os.kill(bgp._speaker._process.pid, signal.SIGKILL)
    until(lambda: "203.0.113.7/32" not in router.routes(), within_s=30)
    until(lambda: "203.0.113.7/32" in router.routes(), within_s=30)
    router.stop()
    until(lambda: not notes(bgp)["203.0.113.7"][0])
    assert notes(bgp)["203.0.113.7"][1] == "no BGP session is established"
    router.start()
    until(lambda: notes(bgp)["203.0.113.7"][0], within_s=40)
    assert "203.0.113.7/32" in router.routes()


@pytest.mark.live
def test_a_router_that_takes_no_flow_specifications_is_not_said_to_have_them(
    router: Router, make: Callable[..., Bgp], act: Callable[..., Action]
) -> None:
    router.start(flow="")
    bgp, now = make(), datetime.now(UTC)
    bgp.start()
    bgp.apply([act("203.0.113.64/26", expires_at=now + timedelta(hours=1))], now)
    until(lambda: notes(bgp)["203.0.113.64/26"] == (False, "no neighbour takes ipv4 flow"))


def test_no_more_routes_than_allowed_are_wanted(
    make: Callable[..., Bgp], act: Callable[..., Action], now: datetime
) -> None:
    bgp = make(max_routes=7, flow=True)
    bgp.apply([act("203.0.113.1"), act("203.0.113.2")], now)
    with pytest.raises(MitigationError, match="9 routes would be announced, max_routes is 7"):
        bgp.apply([act("203.0.113.3")], now)
    with pytest.raises(MitigationError, match="max_routes is 7"):
        bgp.apply([act(f"203.0.113.{last}") for last in range(100, 120)], now)
    bgp.apply([act("203.0.113.1"), act("203.0.113.2")], now)
    assert set(notes(bgp)) == {"203.0.113.1", "203.0.113.2"}


def test_a_black_hole_is_one_address_with_the_communities_of_rfc_7999() -> None:
    route = black_hole(Target(TargetType.ADDRESS, "203.0.113.7"), BlackHole("192.0.2.1"))
    assert route is not None
    assert route.announce == "announce route 203.0.113.7/32 next-hop 192.0.2.1 community [65535:666 no-export]"
    assert black_hole(Target(TargetType.NETWORK, "203.0.113.0/25"), BlackHole()) is None
    assert black_hole(Target(TargetType.ADDRESS, "2001:db8::1"), BlackHole()) is None


def test_an_endpoint_is_a_flow_each_way_as_exabgp_lists_it() -> None:
    target = Target(TargetType.ENDPOINT, "[2001:db8::1]:443/tcp")
    to, of = flows(target, Measure.BLOCK, octets_per_second=0, port_name={443: "https"}.__getitem__)
    assert to.listed == "ipv6 flow flow destination-ipv6 2001:db8::1/128/0 next-header =tcp destination-port =https"
    assert "source 2001:db8::1/128; next-header tcp; source-port =443;" in of.announce
