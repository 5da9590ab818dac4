"""The formats a report can be written in. A new one is a module and a line here."""

from collections.abc import Mapping

from tapwarden.agent.report.json_document import JsonFormatter
from tapwarden.model.ports import Formatter

FORMATTERS: Mapping[str, Formatter] = {formatter.name: formatter for formatter in (JsonFormatter(),)}
