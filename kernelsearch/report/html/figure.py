"""What a page is made of: tables, and figures that say in words and in a table what they draw."""

import re
from dataclasses import dataclass

from markupsafe import Markup

_NUMBER = re.compile(r"[-+\d.,x%\[\] e]*\d[-+\d.,x%\[\] e]*|-|")


@dataclass(frozen=True)
class Table:
    """Cells as text; what is shown of them is escaped by the template."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column, whether every cell is a number, a ratio or empty: such columns are aligned at the right."""
        columns = range(len(self.titles))
        return tuple(bool(self.rows) and all(_NUMBER.fullmatch(row[c]) for row in self.rows) for c in columns)


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
