"""The formats a report can be written in. A new one is a module and a line here."""

from collections.abc import Mapping

from tapwarden.agent.report.intelmq import IntelmqFormatter
from tapwarden.agent.report.iodef import IodefFormatter
from tapwarden.agent.report.json_document import JsonFormatter
from tapwarden.agent.report.misp import MispFormatter
from tapwarden.agent.report.printed import HtmlFormatter, PdfFormatter
from tapwarden.agent.report.stix import StixFormatter
from tapwarden.agent.report.table import CsvFormatter
from tapwarden.agent.report.xarf import XarfFormatter
from tapwarden.model.ports import Formatter

FORMATTERS: Mapping[str, Formatter] = {
    formatter.name: formatter
    for formatter in (
        JsonFormatter(),
        StixFormatter(),
        IodefFormatter(),
        IntelmqFormatter(),
        MispFormatter(),
        XarfFormatter(),
        CsvFormatter(),
        HtmlFormatter("en"),
        HtmlFormatter("zh"),
        PdfFormatter("en"),
        PdfFormatter("zh"),
    )
}
