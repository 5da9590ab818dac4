"""What carries a letter by mail; composition gives the agent's mail server."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class Mail(Protocol):
    """Hands messages to a mail server. Raises ChannelError, ``permanent`` where trying again changes nothing."""

    def send(
        self, *, message_id: str, to: Sequence[str], subject: str, text: str, at: datetime, answers: str = ""
    ) -> str:
        """What the server said when it took the message, with its Message-ID.

        The same ``message_id`` is the same message to whoever receives it twice; ``answers`` is an earlier one's.
        """
        ...
