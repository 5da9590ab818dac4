"""Configuration: one YAML file (and ``conf.d/``), checked key by key, and where everything lives under one root.

Comes from the command line's ``--root`` and ``--config``; goes to ``tapwarden.agent.runtime`` as one frozen ``Config``.
"""

from tapwarden.agent.config.layout import Layout
from tapwarden.agent.config.load import default_text, load, problems
from tapwarden.agent.config.schema import Config

__all__ = ["Config", "Layout", "default_text", "load", "problems"]
