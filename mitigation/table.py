"""The mitigators there are: one file and one line each. A contract test runs over all of them."""

from collections.abc import Callable, Mapping

from tapwarden.mitigation.bgp import Bgp
from tapwarden.mitigation.bouncer import Bouncer
from tapwarden.mitigation.nftables import Nftables
from tapwarden.mitigation.notify import Notify
from tapwarden.mitigation.reset import Reset
from tapwarden.mitigation.rpz import Rpz
from tapwarden.model.ports import Mitigator

MITIGATORS: Mapping[str, Callable[..., Mitigator]] = {
    "nftables": Nftables,
    "rpz": Rpz,
    "bouncer": Bouncer,
    "bgp": Bgp,
    "notify": Notify,
    "reset": Reset,
}
"""By the name that configuration and actions use; called with the mitigator's own settings as keywords."""
