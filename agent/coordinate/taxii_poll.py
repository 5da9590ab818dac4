"""What is new in a collection, from where we left off: at least once, in the order the server added it.

The cursor is the server's own ``X-TAXII-Date-Added-Last`` of the last page that was taken whole. It moves only behind
the last page of a round: two objects of the same moment may lie on two pages, and a cursor between them would lose one.
"""

from collections.abc import Callable, Mapping, Sequence

from tapwarden.agent.coordinate.taxii import Page, StixObject, TaxiiClient
from tapwarden.model.errors import ChannelError

PAGES_MAX = 1000
"""Pages of one round; a server that never ends is asked again at the next one."""


class Poller:
    """Reads one collection. ``load`` and ``save`` keep the cursor where a restart finds it."""

    def __init__(
        self,
        client: TaxiiClient,
        name: str,
        *,
        load: Callable[[], str],
        save: Callable[[str], None],
        limit: int = 100,
        match: Mapping[str, str] | None = None,
    ) -> None:
        self._client, self._name, self._limit, self._match = client, name, limit, dict(match or {})
        self._load, self._save = load, save
        self._collection_id = ""

    def poll(self, take: Callable[[Sequence[StixObject]], None]) -> int:
        """Give everything new to ``take``, page by page; how many objects. Raises ChannelError, and what it raises.

        What was taken before a failure is given again at the next poll.
        """
        cursor = self._load()
        found, following, last = 0, "", cursor
        for _ in range(PAGES_MAX):
            page = self._page(cursor, following)
            if page.objects:
                take(page.objects)
                found += len(page.objects)
            last = page.last or last
            following = page.next
            if not following or not page.objects:  # the same word may come again: medallion's names the whole answer
                break
        if last != cursor:
            self._save(last)
        return found

    def _page(self, cursor: str, following: str) -> Page:
        if not self._collection_id:
            collection = self._client.collection(self._name)
            if not collection.can_read:
                raise ChannelError(f"we may not read the collection {self._name}")
            self._collection_id = collection.id
        try:
            return self._client.page(
                self._collection_id, added_after=cursor, limit=self._limit, next=following, match=self._match
            )
        except ChannelError:
            self._collection_id = ""  # it may have been made anew under another id
            raise
