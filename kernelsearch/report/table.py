"""A table before it has a form: cells as text, the same on the terminal, in Markdown and on the page."""

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"[-+\d.,x%\[\] e]*\d[-+\d.,x%\[\] e]*(?:MiB)?|-|")


@dataclass(frozen=True)
class Table:
    """Cells as text; whoever shows them escapes them. `caption` says what it holds where no heading does."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""

    def without(self, *titles: str) -> "Table":
        """The same without these columns."""
        kept = [number for number, title in enumerate(self.titles) if title not in titles]
        rows = tuple(tuple(row[number] for number in kept) for row in self.rows)
        return Table(tuple(self.titles[number] for number in kept), rows, self.caption)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """For each column, whether every cell is a number, a ratio or empty: such columns are aligned at the right."""
        columns = range(len(self.titles))
        return tuple(bool(self.rows) and all(_NUMBER.fullmatch(row[c]) for row in self.rows) for c in columns)
