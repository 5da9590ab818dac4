"""Tapwarden: network threat monitoring and mitigation, from packet to acknowledged report."""

__version__ = "0.1.0"
