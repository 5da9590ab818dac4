"""The channels a report can take. A new one is a module and a line here."""

from collections.abc import Callable, Mapping

from tapwarden.agent.coordinate.https_json import ChannelSettings, HttpsJsonChannel
from tapwarden.model.ports import Channel

CHANNELS: Mapping[str, Callable[[ChannelSettings], Channel]] = {HttpsJsonChannel.name: HttpsJsonChannel}
