"""The collections of one TAXII server, opened when they are first needed and again after it was away."""

from collections.abc import Mapping, Sequence
from functools import partial

from tapwarden.agent.coordinate.taxii import MEDIA_TYPE, TaxiiClient
from tapwarden.agent.coordinate.taxii_channel import TaxiiChannel
from tapwarden.agent.coordinate.taxii_poll import Poller
from tapwarden.agent.coordinate.transport import ChannelSettings, connect
from tapwarden.model.order import OrderStore


class TaxiiCentre:
    """Ways into and out of the server's collections. Raises ConfigError for settings that cannot work."""

    def __init__(self, settings: ChannelSettings, store: OrderStore, polled: Sequence[str]) -> None:
        self._settings, self._store, self._polled = settings, store, tuple(polled)
        self._http = connect(settings, MEDIA_TYPE)
        self._polls: dict[str, Poller] = {}
        self._ways: dict[str, TaxiiChannel] = {}

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()
        for way in self._ways.values():
            way.close()

    def polls(self) -> Mapping[str, Poller]:
        """The collections that are polled, by name. Raises ChannelError while the server is away."""
        if not self._polls:
            client = TaxiiClient.discover(self._settings.url, self._http)
            for name in self._polled:
                key = f"{self._settings.url} {name}"[:255]
                load, save = partial(self._store.cursor, key), partial(self._store.set_cursor, key)
                self._polls[name] = Poller(client, name, load=load, save=save)
        return self._polls

    def way_into(self, collection: str) -> TaxiiChannel:
        """Posts into this collection."""
        if collection not in self._ways:
            self._ways[collection] = TaxiiChannel(self._settings, collection)
        return self._ways[collection]
