"""How far something may travel (TLP 2.0) and what may be done with it (PAP), each from the most open to the closest."""

from enum import StrEnum


class Tlp(StrEnum):
    """FIRST's Traffic Light Protocol 2.0."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    STRICT = "AMBER+STRICT"
    RED = "RED"

    def reaches(self, most: "Tlp") -> bool:
        """Whether something with this label may go to somebody who is trusted with up to ``most``."""
        order = list(Tlp)
        return order.index(self) <= order.index(most)


class Pap(StrEnum):
    """The Permissible Actions Protocol: what may be done with an indicator, as its other side might notice."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    RED = "RED"

    @property
    def lets_others_be_told(self) -> bool:
        """Writing to a provider is an action that the other side can come to know of: GREEN or CLEAR."""
        return self in (Pap.CLEAR, Pap.GREEN)
