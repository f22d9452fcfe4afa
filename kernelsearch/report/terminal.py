"""A report on the terminal: the answer first, then each part in a few lines; a screen or two, 100 columns."""

from collections.abc import Iterator
from typing import Any

from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from kernelsearch.report.answer import Answer
from kernelsearch.report.content import Content, Part
from kernelsearch.report.table import Table
from kernelsearch.report.text import foreign

WIDTH = 100
INDENT, GAP = 2, 2
WHOLE = ("run",)  # titles of columns with commands, which somebody copies
LEAST = 12  # columns of a text that are kept before a figure is cut
MORE = "Every row: --markdown FILE. Drawings, sources and their differences: --html FILE."


def render_content(content: Content) -> RenderableType:
    """What `kernelsearch report` shows."""
    parts = [line for part in content.parts for line in _part(part)]
    return Group(*_answer(content.answer), *parts, Text(""), foreign(MORE, "dim"))


def _answer(answer: Answer) -> Iterator[RenderableType]:
    yield foreign(answer.headline, "bold green" if answer.is_yes else "bold")
    tiles = Table(("", "", ""), tuple((tile.value, tile.what, tile.note) for tile in answer.tiles))
    yield foreign(answer.words)
    yield Padding(render_table(tiles, is_headed=False), (0, 0, 0, INDENT), expand=False)
    for sentence in answer.against:
        yield foreign(f"- {sentence}")


def _part(part: Part) -> Iterator[RenderableType]:
    yield Text("")
    yield foreign(part.title, "bold")
    yield from (foreign(sentence) for sentence in part.words)
    for number, table in enumerate(part.brief):
        if number:
            yield Text("")
        yield Padding(render_table(table), (0, 0, 0, INDENT), expand=False)


def render_table(table: Table, *, is_headed: bool = True) -> Grid:
    """One line a row; where a row does not fit, its widest texts are cut short, but no command."""
    grid = Grid(box=None, pad_edge=False, show_header=is_headed, header_style="dim")
    for title, width, is_number in zip(table.titles, _widths(table), table.numeric, strict=True):
        side: JustifyMethod = "right" if is_number else "left"
        ways: dict[str, Any] = {"overflow": "fold"} if title in WHOLE else {"no_wrap": True, "overflow": "ellipsis"}
        grid.add_column(foreign(title), width=width, justify=side, **ways)
    for row in table.rows:
        grid.add_row(*[foreign(cell) for cell in row])
    return grid


def _widths(table: Table) -> list[int]:
    widths = [max(map(len, column)) for column in zip(table.titles, *table.rows, strict=True)]
    room = WIDTH - INDENT - GAP * (len(widths) - 1)
    while sum(widths) > room:
        texts = [n for n, is_number in enumerate(table.numeric) if not is_number and widths[n] > LEAST]
        widths[max(texts or range(len(widths)), key=lambda n: widths[n])] -= 1
    return widths
