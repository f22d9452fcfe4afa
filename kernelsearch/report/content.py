"""What a report says, collected once: the answer, and parts with sentences and tables.

The terminal, Markdown and the page (terminal.py, document.py, html/) show the same parts. `brief` tables are what fits
a terminal; `tables` hold every row, which Markdown folds and the page draws. Only the page has drawings, sources and
their differences.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from kernelsearch.report.answer import Answer, make_answer
from kernelsearch.report.comparisons import list_comparisons, short_comparisons
from kernelsearch.report.evidence import Evidence
from kernelsearch.report.extras import (
    count_ideas,
    list_calls,
    list_ideas,
    price_of_a_microsecond,
    telling_ideas,
    time_of_a_microsecond,
)
from kernelsearch.report.history import NOTE, UNMOVED, history_table, repeated, short_history
from kernelsearch.report.measured import light_table, rivals_table, say_light, say_rivals, say_steps, steps_table
from kernelsearch.report.results import Device, Document
from kernelsearch.report.rows import BestRow, LedgerReport, report_lines
from kernelsearch.report.scorecard import (
    GATE_TITLES,
    RULE_TITLES,
    TARGET_TITLES,
    gate_rows,
    rule_rows,
    summary_rows,
    target_rows,
)
from kernelsearch.report.searches import list_outcomes, list_searches
from kernelsearch.report.table import Table
from kernelsearch.report.targets import NONE_ACCEPTED, list_kernels, list_recorded, list_targets, recheck, target_names
from kernelsearch.report.text import count, format_interval

BEST_TITLES = ("target", "dtype", "workloads", "kernel", "language", "speedup", "accepted", "confirmed", "judged")
FEW_IDEAS, FEW_COMPARISONS, MANY_COMPARISONS, FEW_SEARCHES, FEW_RATES = 5, 3, 20, 4, 5
FEW_TRENDS = 4


@dataclass(frozen=True)
class Part:
    """One part of a report. `brief` is shown everywhere, `tables` where there is room."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    brief: tuple[Table, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True)
class Content:
    answer: Answer
    parts: tuple[Part, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def collect(evidence: Evidence) -> Content:
    """Every part that there is evidence for, in the order of reading."""
    return Content(make_answer(evidence), tuple(_parts(evidence)))


def _parts(evidence: Evidence) -> Iterator[Part]:
    yield from _training(evidence)
    yield from _kernels(evidence)
    yield from _searches(evidence)
    for number, device in enumerate(evidence.devices):
        for card in device.of("scorecard"):
            yield _judge(device, card, f"judge-{number}" if number else "judge")
    yield from _costs(evidence)
    ideas = list_ideas(evidence.lines, evidence.ideas)
    if ideas is not None:
        few = telling_ideas(ideas, FEW_IDEAS)
        brief = replace(ideas, rows=few, caption=f"{len(few)} of them, measured ones first")
        yield Part("ideas", "Ideas, predicted and measured", (count_ideas(ideas),), (brief,), (ideas,))
    yield from _history(evidence)
    short = short_comparisons(evidence.lines, FEW_COMPARISONS)
    if short is not None:
        every = list_comparisons(evidence.lines, MANY_COMPARISONS)
        yield Part("comparisons", "Comparisons of commits", (), (short,), (every,) if every else ())
    yield _recheck(evidence)


def _training(evidence: Evidence) -> Iterator[Part]:
    steps = [step for device in evidence.devices for step in device.of("step")]
    upstream = _upstream(evidence)
    if not (evidence.races or steps or upstream):
        return
    words: list[str] = []
    brief: list[Table] = []
    tables: list[Table] = []
    for number, race in enumerate(evidence.races):
        words += [f"Race on {race.title}: {race.words}"] if number else []
        (tables if number else brief).append(race.sides)
        if race.curve:
            tables.append(race.curve_table)
            brief += [race.short_curve] if number == 0 else []
    if steps:
        words.append(say_steps(steps))
        tables.append(steps_table(steps))
        brief += [steps_table([evidence.step])] if evidence.step else []
    yield Part("training", "Training", tuple(words), tuple(brief), (*tables, *([upstream] if upstream else [])))


def _upstream(evidence: Evidence) -> Table | None:
    rows = []
    for device in evidence.devices:
        for d in device.of("upstream"):
            ratio = format_interval(d.body["speedup"], d.body["low"], d.body["high"])
            mode = "torch.compile" if d.body.get("compiled") else "eager"
            rows.append((device.name, d.about, mode, ratio, f"{d.body['kernels_gap']:.2g}", d.date))
    titles = ("device", "run", "mode", "tokens per second", "largest gap of losses", "date")
    return Table(titles, tuple(rows), "An unmodified upstream checkout") if rows else None


def _kernels(evidence: Evidence) -> Iterator[Part]:
    rows = evidence.bench_rows
    names = target_names(evidence)
    if not (rows or names):
        return
    words, tables = [], []
    if rows:
        words = [say_rivals(rows), say_light(rows), f"As training calls them: {_conditions(evidence)}."]
        tables = [rivals_table(rows), light_table(rows, evidence.folders)]
    yield Part("kernels", "Kernels", tuple(words), (list_targets(evidence),) if names else (), tuple(tables))


def _conditions(evidence: Evidence) -> str:
    return "; ".join(
        f"{d.body.get('device', device.name)}, {d.body.get('threads', '-')} threads, {d.date}"
        for device in evidence.devices
        for d in device.of("bench")
    )


def _searches(evidence: Evidence) -> Iterator[Part]:
    recorded = list_recorded(evidence, target_names(evidence))
    if not evidence.lines and recorded is None:
        return
    found = list_searches(evidence.searches)
    brief = replace(found, rows=found.rows[:FEW_SEARCHES]).without("began", "proposers")
    tables = [found, list_outcomes(evidence.searches)] if evidence.searches else []
    words: tuple[str, ...] = ()
    if evidence.lines:
        ledger = report_lines(evidence.lines, evidence.ledger)
        words = (answer_ledger(ledger), summarise_ledger(ledger))
        best = Table(BEST_TITLES, tuple(map(best_cells, ledger.best)), "Best of each target")
        tables += [best] if ledger.best else []
    if recorded is not None:
        kept = sum(row[-1] != NONE_ACCEPTED for row in recorded.rows)
        words += (f"{count(len(recorded.rows), 'recorded search', 'recorded searches')}, {kept} with a kernel kept.",)
    every = (*tables, *([recorded] if recorded else []))
    yield Part("searches", "Searches", words, (brief,) if evidence.searches else (), every)


def answer_ledger(report: LedgerReport) -> str:
    """The verdict in one line: how many targets have a kernel that is proven faster."""
    won = {row.target for row in report.best if row.is_accepted}
    searched = {row.target for row in report.best}
    faster = f"Proven faster: {', '.join(sorted(won))}" if won else "No kernel is proven faster yet"
    return f"{faster} ({len(won)} of {count(len(searched), 'target', 'targets')} with a timed kernel)."


def summarise_ledger(report: LedgerReport) -> str:
    statuses = ", ".join(f"{status} {number}" for status, number in report.statuses.items())
    trials, studies = count(report.trials, "trial", "trials"), count(len(report.studies), "study", "studies")
    return f"{trials} in {studies}, the chain holds. {statuses or 'No trial yet'}."


def best_cells(row: BestRow) -> tuple[str, ...]:
    bound = " ".join(f"{name}={value}" for name, value in sorted(row.tunables.items()))
    kernel = " ".join(part for part in (row.candidate[:12], row.origin, bound) if part)
    interval = format_interval(row.speedup, row.low, row.high)
    accepted, confirmed = ("yes" if is_true else "no" for is_true in (row.is_accepted, row.is_confirmed))
    return (row.target, row.dtype, row.workloads, kernel, row.language, interval, accepted, confirmed, row.time[:16])


def _judge(device: Device, card: Document, key: str) -> Part:
    rows = summary_rows(card.body)
    titles = ("what", "result")
    where = f"By `kernelsearch scorecard`: {device.name}, {card.date}, judge {_harness(card)}."
    tables = [Table(titles, tuple(rows), "The whole card")]
    if "targets" in card.body:
        tables.append(Table(TARGET_TITLES, tuple(target_rows(card.body)), "By target"))
        tables.append(Table(RULE_TITLES, tuple(rule_rows(card.body)), "By rule"))
        tables.append(Table(GATE_TITLES, tuple(gate_rows(card.body)), "By gate"))
    brief = Table(titles, tuple(rows[:FEW_RATES]), "What it lets through, and what it refuses wrongly")
    return Part(key, "The judge, judged", (where,), (brief,), tuple(tables))


def _harness(card: Document) -> str:
    return str(card.body["environment"].get("harness", "-"))[:12]


def _costs(evidence: Evidence) -> Iterator[Part]:
    calls, price = list_calls(evidence.lines), price_of_a_microsecond(evidence.lines, evidence.searches)
    words = (*([price] if price else []), *time_of_a_microsecond(evidence.searches))
    if calls is not None or words:
        yield Part("costs", "What the search cost", words, (calls,) if calls else ())


def _history(evidence: Evidence) -> Iterator[Part]:
    """What was recorded more than once; on the terminal only what moved."""
    series = repeated(evidence.history)
    if series:
        every = history_table(series)
        moved = sum(one.trend != UNMOVED for one in series)
        brief = short_history(series[: min(moved, FEW_TRENDS)])
        words = (f"{moved} of {len(series)} ratios that were measured more than once moved. {NOTE}",)
        yield Part("history", "Over time", words, (brief,) if moved else (), (every,))


def _recheck(evidence: Evidence) -> Part:
    """Where the figures come from and how a reader checks them."""
    files = sum(len(device.documents) for device in evidence.devices)
    devices = ", ".join(device.name for device in evidence.devices)
    records = f"the ledger {evidence.ledger} ({count(len(evidence.lines), 'record', 'records')}, the chain holds)"
    recorded = f"{count(files, 'recorded result', 'recorded results')} of {devices}" if files else "no recorded result"
    words = (f"Made from {records if evidence.lines else 'no ledger'} and {recorded}.",)
    ways = [("the chain", f"kernelsearch verify {evidence.ledger}")] if evidence.lines else []
    ways += [("a kernel, such as", recheck(kernel.folder)) for kernel in evidence.kernels[:1]]
    ways += [("the judge", "kernelsearch scorecard"), ("what training gains here", "kernelsearch race")]
    brief = Table(("to check", "run"), tuple(ways), "How to check it")
    kernels = (list_kernels(evidence),) if evidence.kernels else ()
    return Part("evidence", "Evidence", words, (brief,), kernels)
