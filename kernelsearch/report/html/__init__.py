"""The report as one HTML page: evidence from the ledger, the store and recorded results, drawn and explained."""

from kernelsearch.report.html.page import Section, render_document, render_page, render_sections

__all__ = ["Section", "render_document", "render_page", "render_sections"]
