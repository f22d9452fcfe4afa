"""The report as one HTML page: evidence from the ledger, the store and recorded results, drawn and explained."""

from kernelsearch.report.html.evidence import Evidence
from kernelsearch.report.html.page import Section, render_document, render_page, render_sections
from kernelsearch.report.html.results import read_results

__all__ = ["Evidence", "Section", "read_results", "render_document", "render_page", "render_sections"]
