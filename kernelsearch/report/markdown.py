"""Markdown from foreign text: nothing in a name or message becomes markup."""

from collections.abc import Sequence

from kernelsearch.report.text import shown


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(markdown_text(cell) for cell in cells) + " |" for cells in lines)


def markdown_text(text: str) -> str:
    """One line of plain text: no line end, pipe, tag or link in it ends a table's cell or becomes markup."""
    plain = " ".join(shown(text).split())
    for mark in "\\`|*_[]":
        plain = plain.replace(mark, "\\" + mark)
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def markdown_words(text: str) -> str:
    """A sentence as plain text, in which what stands between two backticks is code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return markdown_text(text)
    return "".join(f"`{shown(piece)}`" if n % 2 else _kept(piece) for n, piece in enumerate(pieces))


def _kept(piece: str) -> str:
    """As markdown_text, with the blanks at its ends."""
    inner = markdown_text(piece)
    return f"{' ' if piece[:1] == ' ' else ''}{inner}{' ' if inner and piece[-1:] == ' ' else ''}"


def fold(title: str, text: str) -> str:
    """A section that a reader opens; `text` is Markdown."""
    return f"<details><summary>{markdown_text(title)}</summary>\n\n{text}\n\n</details>"
