"""The judge's own error rates, drawn: what it lets through, and what other rules would."""

from collections.abc import Mapping
from typing import Any

from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure, Plot
from kernelsearch.report.scorecard import OURS, RULE_TITLES, rule_rows
from kernelsearch.report.table import Table


def draw_rules(card: Mapping[str, Any], name: str) -> Figure | None:
    """Wrong kernels that each rule accepts, ours first; None where the card has no corpus."""
    if "rules" not in card or "mutants" not in card:
        return None
    found = [(OURS, card["mutants"]["accepted"], True)]
    found += [(rule, counts["mutants_accepted"], False) for rule, counts in card["rules"].items()]
    rows = [{"name": n, "count": c, "is_good": is_ours, "label": f"{n}: {c}"} for n, c, is_ours in found]
    total = card["mutants"]["total"]
    summary = (
        f"Of {total} kernels that are wrong by construction, this judge accepted {card['mutants']['accepted']}; the "
        "rules that public harnesses use accepted " + ", ".join(str(count) for _, count, _ in found[1:]) + "."
    )
    table = Table(RULE_TITLES, tuple(rule_rows(card)), "By rule")
    plot = Plot(charts.bars(rows, f"wrong kernels accepted, of {total}"))
    return Figure(name, "Wrong kernels accepted, by rule", summary, (plot,), table)
