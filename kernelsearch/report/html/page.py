"""The page: evidence in, sections out, one self-contained document.

Sections are rendered apart, so that a live view can send only those that changed. Everything that comes from outside is
text for autoescaping templates; only drawings and highlighted sources, which escape for themselves, are markup. A
content security policy stands behind that: no script, no request, and no style but the page's own.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from kernelsearch.errors import EnvironmentMissing
from kernelsearch.report.content import Part, collect
from kernelsearch.report.evidence import Evidence
from kernelsearch.report.html.figure import Figure
from kernelsearch.report.html.history import draw_history
from kernelsearch.report.html.measured import draw_rivals, draw_roofline, draw_steps
from kernelsearch.report.html.scorecard import draw_rules
from kernelsearch.report.html.target import make_target
from kernelsearch.report.html.training import draw_race
from kernelsearch.report.targets import target_names

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
    """The answer and the parts of report/content.py, those with figures drawn; each target after the kernels."""
    content = collect(evidence)
    figures = _figures(evidence)
    running = [search for search in evidence.searches if search.is_running]
    sections = [_section("answer", "The answer", answer=content.answer, running=running)]
    for part in content.parts:
        sections.append(_part(part, figures.get(part.key, ())))
        if part.key == "kernels":
            sections += [_target(evidence, name) for name in target_names(evidence)]
    return sections


def _part(part: Part, figures: Sequence[Figure]) -> Section:
    """Words and tables that no figure has, and the figures; long tables folded."""
    drawn = {figure.table for figure in figures}
    words = [sentence for sentence in part.words if not any(sentence in figure.summary for figure in figures)]
    captions = {table.caption for table in drawn}
    brief = [table for table in part.brief if table not in drawn and table.caption not in captions]
    long = [table for table in part.tables if table not in drawn]
    return _section("part", part.title, key=part.key, words=words, figures=figures, brief=brief, long=long)


def _target(evidence: Evidence, name: str) -> Section:
    return _section("target", name, key=f"target-{name}", level=3, target=make_target(evidence, name))


def _figures(evidence: Evidence) -> dict[str, list[Figure]]:
    """Drawings by the key of the part that they belong to."""
    training = [draw_race(race, f"race-{n}") for n, race in enumerate(evidence.races)]
    steps = [step for device in evidence.devices for step in device.of("step")]
    found = {"training": [*training, draw_steps(steps, "steps")]}
    if evidence.bench_rows:
        rows = evidence.bench_rows
        found["kernels"] = [draw_rivals(rows, "rivals"), draw_roofline(rows, evidence.folders, "roofline")]
    found["history"] = [draw_history(evidence.history, "trends")]
    for number, device in enumerate(evidence.devices):
        cards = [draw_rules(card.body, f"rules-{number}") for card in device.of("scorecard")]
        found[f"judge-{number}" if number else "judge"] = cards
    return {key: [figure for figure in figures if figure is not None] for key, figures in found.items()}


def _section(template: str, title: str, *, key: str | None = None, level: int = 2, **values: Any) -> Section:
    html = _templates().get_template(f"{template}.html").render(key=key or template, **values)
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
    made = Environment(autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["words"] = _words
    return made


def _words(sentence: str) -> Markup:
    """A sentence escaped; what stands between two backticks is code."""
    pieces = sentence.split("`")
    if len(pieces) % 2 == 0:
        return escape(sentence)
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(piece) if n % 2 else escape(piece) for n, piece in enumerate(pieces))
