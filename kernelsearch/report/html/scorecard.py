"""The judge's own error rates on the page: the tables of report/scorecard.py, and what other rules let through."""

from kernelsearch.report.html import charts
from kernelsearch.report.html.figure import Figure, Plot, Table
from kernelsearch.report.html.results import Document
from kernelsearch.report.scorecard import OURS, TARGET_TITLES, gate_rows, rule_rows, summary_rows, target_rows


def scorecard_tables(card: Document) -> tuple[tuple[str, Table], ...]:
    body = card.body
    tables = [("The whole card", Table(("what", "result"), tuple(summary_rows(body))))]
    if "targets" in body:
        tables.append(("By target", Table(TARGET_TITLES, tuple(target_rows(body)))))
        titles = ("gate", "wrong kernels it stopped", "seconds spent")
        tables.append(("By gate", Table(titles, tuple(gate_rows(body)))))
    return tuple(tables)


def draw_rules(card: Document, name: str) -> Figure | None:
    """Wrong kernels that each rule accepts, ours first; None where the card has no corpus."""
    body = card.body
    if "rules" not in body or "mutants" not in body:
        return None
    found = [(OURS, body["mutants"]["accepted"], True)]
    found += [(rule, counts["mutants_accepted"], False) for rule, counts in body["rules"].items()]
    rows = [{"name": n, "count": c, "is_good": is_ours, "label": f"{n}: {c}"} for n, c, is_ours in found]
    total = body["mutants"]["total"]
    summary = (
        f"Of {total} kernels that are wrong by construction, this judge accepted {body['mutants']['accepted']}; the "
        "rules that public harnesses use accepted " + ", ".join(str(count) for _, count, _ in found[1:]) + "."
    )
    table = Table(("rule", "wrong kernels accepted", "honest kernels accepted"), tuple(rule_rows(body)))
    plot = Plot(charts.bars(rows, f"wrong kernels accepted, of {total}"))
    return Figure(name, "Wrong kernels accepted, by rule", summary, (plot,), table)


def says_in_short(card: Document) -> str:
    """The rate that matters most, with its bound: what a reader trusts the speedups by."""
    mutants = card.body.get("mutants")
    if not mutants:
        return "not yet measured"
    return f"{mutants['accepted']} of {mutants['total']} (95%: below {mutants['upper95']:.2%})"
