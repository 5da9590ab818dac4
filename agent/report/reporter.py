"""Who reports: without a responsible person and a contact that answers day and night nothing is sent."""

from dataclasses import dataclass

TLP_LABELS = ("RED", "AMBER+STRICT", "AMBER", "GREEN", "CLEAR")
"""Traffic Light Protocol 2.0, FIRST; what may be told to fewest first."""

PAP_LABELS = ("RED", "AMBER", "GREEN", "CLEAR")
"""Permissible Actions Protocol: what a receiver may do with what it is told."""


@dataclass(frozen=True, slots=True)
class Reporter:
    """The reporting organisation, as configured. ``tlp`` labels its reports; ValueError for a label that is none."""

    organisation: str
    responsible_person: str
    contact_24x7: str
    agent: str = "tapwarden"
    tlp: str = "AMBER"
    pap: str = "AMBER"
    email: str = ""

    def __post_init__(self) -> None:
        if self.tlp not in TLP_LABELS:
            raise ValueError(f"a TLP label is one of {', '.join(TLP_LABELS)}, not {self.tlp!r}")

    def missing(self) -> tuple[str, ...]:
        """What has to be configured before anything is reported (Measures art. 5); empty when reporting can start."""
        required = {
            "organisation": self.organisation,
            "responsible person": self.responsible_person,
            "24x7 contact": self.contact_24x7,
        }
        return tuple(name for name, value in required.items() if not value.strip())

    def obstacle(self) -> str:
        """Why nothing is sent, as a sentence for people; "" when reporting can start."""
        missing = self.missing()
        return f"nothing is reported until the configuration names: {', '.join(missing)}" if missing else ""
