"""The channels a report can take. A new one is a module and a line here."""

from collections.abc import Callable, Mapping

from tapwarden.agent.coordinate.https_json import HttpsJsonChannel
from tapwarden.agent.coordinate.taxii_channel import TaxiiChannel
from tapwarden.agent.coordinate.transport import ChannelSettings
from tapwarden.model.ports import Channel

CHANNELS: Mapping[str, Callable[[ChannelSettings], Channel]] = {
    HttpsJsonChannel.name: HttpsJsonChannel,
    TaxiiChannel.name: TaxiiChannel,
}
