"""What would keep the mitigators that act beyond this host from acting; part of ``tapwarden doctor``."""

import importlib.metadata
import socket
from collections.abc import Callable, Iterator

from tapwarden.agent.config import Config, Layout
from tapwarden.agent.finding import Finding
from tapwarden.agent.reporting import mailer_of
from tapwarden.agent.responses import neighbours_of, recipients_of, webhook_of
from tapwarden.mitigation.bgp.speaker import configuration
from tapwarden.mitigation.notify import Pap, Tlp
from tapwarden.mitigation.reset.wire import Wire
from tapwarden.model.errors import ConfigError, MitigationError


def examine_reset(config: Config, _layout: Layout) -> Iterator[Finding]:
    """Whether packets of connections can be seen and resets sent."""
    reset = config.mitigation.reset
    if not reset.enabled:
        return
    try:
        wire = Wire(reset.interface)
    except MitigationError as error:
        advice = "run with CAP_NET_RAW, name an interface that is there, apt-get install libpcap0.8"
        yield Finding("resets", "fail", str(error), advice)
        return
    wire.close()
    yield Finding("resets", "ok", f"packets on {reset.interface or 'every interface'} are seen, resets can be sent")


def examine_bgp(config: Config, layout: Layout) -> Iterator[Finding]:
    """Whether ExaBGP is there, and the routers can be reached."""
    bgp = config.mitigation.bgp
    if not bgp.enabled:
        return
    try:
        version = importlib.metadata.version("exabgp")
    except importlib.metadata.PackageNotFoundError:
        advice = "pip install 'tapwarden[bgp]' into the environment that runs Tapwarden"
        yield Finding("bgp", "fail", "ExaBGP is not installed: nothing can be announced", advice)
        return
    if not version.startswith("5."):
        yield Finding("bgp", "fail", f"ExaBGP {version} answers otherwise than 5.x", "pip install 'exabgp>=5,<6'")
        return
    yield Finding("bgp", "ok", f"ExaBGP {version}")
    try:
        neighbours = neighbours_of(bgp, layout)
        configuration(neighbours, layout.state("bgp"), flow=True)
    except (ConfigError, ValueError) as error:
        yield Finding("bgp", "fail", str(error), "correct mitigation.bgp.neighbours")
        return
    for one in neighbours:
        try:
            with socket.create_connection((one.address, one.port), timeout=3, source_address=(one.local_address, 0)):
                yield Finding("bgp", "ok", f"{one.address} port {one.port} answers")
        except OSError as error:
            advice = "check local_address, route and firewall, and that the router expects this session"
            yield Finding("bgp", "fail", f"{one.address} port {one.port}: {error.strerror or error}", advice)


def examine_notify(config: Config, layout: Layout) -> Iterator[Finding]:
    """Whether notices have a way to whom they are for."""
    notify = config.mitigation.notify
    if not notify.enabled:
        return
    try:
        recipients, mail = recipients_of(config), mailer_of(config, layout)
        webhook_of(config, layout)
    except ConfigError as error:
        yield Finding("notices", "fail", str(error), "correct mitigation.notify and reporting.smtp")
        return
    by_mail = [one.name for one in recipients if one.email]
    if by_mail and mail is None:
        text = f"{len(by_mail)} recipients read mail, and no server takes it"
        yield Finding("notices", "fail", text, "set reporting.smtp.host and sender")
    elif by_mail:
        smtp = config.reporting.smtp
        try:
            with socket.create_connection((smtp.host, smtp.port), timeout=5):
                yield Finding("notices", "ok", f"{smtp.host} port {smtp.port} answers")
        except OSError as error:
            advice = "check name, route and firewall; notices wait and are tried again"
            yield Finding("notices", "fail", f"{smtp.host} port {smtp.port}: {error.strerror or error}", advice)
    if not Pap(notify.pap).lets_others_be_told:
        text = f"pap: {notify.pap} lets nobody be told"
        yield Finding("notices", "fail", text, "write pap: GREEN, or disable notify")
    for one in recipients:
        if not Tlp(notify.tlp).reaches(one.most):
            text = f"{one.name} may not get TLP:{notify.tlp}"
            yield Finding("notices", "warn", text, "lower notify.tlp, or raise the recipient's tlp")
    if not config.reporting.organisation:
        yield Finding("notices", "warn", "notices do not say who writes", "set reporting.organisation")
    if not notify.site:
        yield Finding("notices", "warn", "notices carry no reply link", "set notify.site, and dashboard.public")


RESPONSE_CHECKS: tuple[Callable[[Config, Layout], Iterator[Finding]], ...] = (
    examine_reset,
    examine_bgp,
    examine_notify,
)
