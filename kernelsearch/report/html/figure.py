"""What the page draws: figures that say in words and in a table what they draw."""

from dataclasses import dataclass

from markupsafe import Markup

from kernelsearch.report.table import Table


@dataclass(frozen=True)
class Plot:
    """A drawing, and for wide screens another of the same data where one size does not fit both."""

    svg: Markup
    wide: Markup | None = None


@dataclass(frozen=True)
class Figure:
    """`summary` says what the drawing shows; `table` has its figures. `name` is unique on the page."""

    name: str
    title: str
    summary: str
    plots: tuple[Plot, ...]
    table: Table
