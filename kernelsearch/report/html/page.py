"""The page: evidence in, sections out, one self-contained document.

Sections are rendered apart, so that a live view can send only those that changed. Everything that comes from outside is
text for autoescaping templates; only drawings and highlighted sources, which escape for themselves, are markup. A
content security policy stands behind that: no script, no request, and no style but the page's own.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kernelsearch.errors import EnvironmentMissing
from kernelsearch.report.html import extras, measured, scorecard, training
from kernelsearch.report.html.answer import make_answer
from kernelsearch.report.html.evidence import Evidence
from kernelsearch.report.html.figure import Table
from kernelsearch.report.html.target import list_targets, make_target, target_names
from kernelsearch.report.text import format_interval

if TYPE_CHECKING:
    from jinja2 import Environment

PACKAGE = "kernelsearch.report.html"


@dataclass(frozen=True)
class Section:
    """A part of the page. `key` is its id; `level` 3 is a part of the section before it."""

    key: str
    title: str
    html: str
    level: int = 2


def render_page(evidence: Evidence, title: str, *, live: bool = False) -> str:
    """The whole document. A `live` one loads its script from where it came and listens there."""
    return render_document(render_sections(evidence), title, live=live)


def render_document(sections: Sequence[Section], title: str, *, live: bool = False) -> str:
    style = files(PACKAGE).joinpath("templates/page.css").read_text()
    policy = security_policy(style, live=live)
    page = _templates().get_template("page.html")
    return page.render(sections=sections, title=title, style=style, policy=policy, live=live)


def security_policy(style: str, *, live: bool) -> str:
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    ways = "script-src 'self'; connect-src 'self'; " if live else ""
    return f"default-src 'none'; {ways}style-src 'sha256-{hashed}'; base-uri 'none'; form-action 'none'"


def render_sections(evidence: Evidence) -> list[Section]:
    """The sections in order; a part without evidence says so in the answer, and has no section."""
    return [*_overview(evidence), *_by_target(evidence), *_records(evidence)]


def _overview(evidence: Evidence) -> Iterator[Section]:
    running = [search for search in evidence.searches if search.is_running]
    yield _section("answer", "The answer", answer=make_answer(evidence), running=running)
    figures = [training.draw_race(race, f"race-{n}") for n, race in enumerate(evidence.races)]
    steps = [measured.draw_steps(d.of("step"), f"steps-{n}") for n, d in enumerate(evidence.devices)]
    if evidence.races or any(steps):
        races = list(zip(evidence.races, figures, strict=True))
        yield _section("training", "Training", races=races, steps=[s for s in steps if s], upstream=_upstream(evidence))
    if evidence.bench_rows:
        rivals = measured.draw_rivals(evidence.bench_rows, "rivals")
        light = measured.draw_roofline(evidence.bench_rows, evidence.folders, "roofline")
        found = [figure for figure in (rivals, light) if figure is not None]
        yield _section("kernels", "Kernels", figures=found, conditions=_conditions(evidence))


def _by_target(evidence: Evidence) -> Iterator[Section]:
    names = target_names(evidence)
    if names:
        yield _section("targets", "Targets", table=list_targets(evidence, names))
    for name in names:
        yield _section("target", name, key=f"target-{name}", level=3, target=make_target(evidence, name))


def _records(evidence: Evidence) -> Iterator[Section]:
    for number, device in enumerate(evidence.devices):
        for card in device.of("scorecard"):
            rules = scorecard.draw_rules(card, f"rules-{number}")
            tables = scorecard.scorecard_tables(card)
            where = f"{device.name}, {card.date}, judge {card.body['environment'].get('harness', '-')[:12]}"
            key = f"judge-{number}" if number else "judge"
            yield _section("judge", "The judge, judged", key=key, rules=rules, tables=tables, where=where)
    calls, ideas = extras.list_calls(evidence.lines), extras.list_ideas(evidence.lines)
    if calls is not None:
        price = extras.price_of_a_microsecond(evidence.lines, evidence.searches)
        yield _section("costs", "What the search cost", calls=calls, price=price)
    if ideas is not None:
        yield _section("ideas", "Ideas", ideas=ideas)
    count = sum(len(device.documents) for device in evidence.devices)
    devices = ", ".join(device.name for device in evidence.devices)
    yield _section("evidence", "Evidence", evidence=evidence, files=count, devices=devices)


def _upstream(evidence: Evidence) -> Table | None:
    rows = []
    for device in evidence.devices:
        for d in device.of("upstream"):
            ratio = format_interval(d.body["speedup"], d.body["low"], d.body["high"])
            mode = "torch.compile" if d.body.get("compiled") else "eager"
            rows.append((device.name, d.about, mode, ratio, f"{d.body['kernels_gap']:.2g}", d.date))
    titles = ("device", "run", "mode", "tokens per second", "largest gap of losses", "date")
    return Table(titles, tuple(rows)) if rows else None


def _conditions(evidence: Evidence) -> str:
    return "; ".join(
        f"{d.body.get('device', device.name)}, {d.body.get('threads', '-')} threads, {d.date}"
        for device in evidence.devices
        for d in device.of("bench")
    )


def _section(template: str, title: str, *, key: str | None = None, level: int = 2, **values: Any) -> Section:
    html = _templates().get_template(f"{template}.html").render(**values)
    return Section(key or template, title, html, level)


@lru_cache(maxsize=1)
def _templates() -> "Environment":
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise EnvironmentMissing(
            "the HTML report is written with jinja2; install it with `pip install 'kernelsearch[report]'`"
        ) from None
    loader = PackageLoader("kernelsearch.report.html")
    return Environment(autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
