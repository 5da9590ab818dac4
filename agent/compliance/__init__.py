"""How the requirements of the sources stand on this system, each read from it: no line is constant text.

``facts`` gathers what is looked at, ``measures`` (M1 to M17: the Measures for Monitoring and Handling Public Internet
Cybersecurity Threats) and ``domains`` (D1 to D10, I1 to I3: Domain Name Rules and the inspection of 2017) judge it.
"""

from tapwarden.agent.compliance.domains import DOMAIN_RULES
from tapwarden.agent.compliance.facts import Facts, gather
from tapwarden.agent.compliance.judging import Rule, examine
from tapwarden.agent.compliance.measures import MEASURE_RULES

RULES: tuple[Rule, ...] = (*MEASURE_RULES, *DOMAIN_RULES)

__all__ = ["RULES", "Facts", "examine", "gather"]
