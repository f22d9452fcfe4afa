"""A report as Markdown, for a step summary or a comment: the answer first, then each part, long tables folded.

A comment on GitHub holds 65,536 characters: folded tables that would go beyond MOST_CHARACTERS are named, not shown.
"""

from collections.abc import Iterator

from kernelsearch.report.answer import Answer
from kernelsearch.report.content import Content, Part
from kernelsearch.report.markdown import fold, markdown_table, markdown_text, markdown_words
from kernelsearch.report.table import Table
from kernelsearch.report.text import count

MOST_CHARACTERS = 60_000


def write_content(content: Content) -> str:
    """What `kernelsearch report --markdown` writes."""
    blocks = ["# kernelsearch report", *_answer(content.answer)]
    room = MOST_CHARACTERS - sum(len(block) + 2 for part in content.parts for block in _part(part))
    for part in content.parts:
        blocks += _part(part)
        for table in (table for table in part.tables if table not in part.brief):
            title, text = f"{table.caption} ({count(len(table.rows), 'row', 'rows')})", _table(table)
            room -= len(text)
            blocks.append(fold(title, text) if room > 0 else f"{markdown_text(title)}: on the page, `--html FILE`.")
    return "\n\n".join(blocks) + "\n"


def _answer(answer: Answer) -> Iterator[str]:
    yield f"**{markdown_text(answer.headline)}** {markdown_words(answer.words)}"
    if answer.tiles:
        rows = [(tile.value, tile.what, tile.note) for tile in answer.tiles]
        yield markdown_table(("figure", "what", "where"), rows)
    if answer.against:
        yield "\n".join(f"- {markdown_words(sentence)}" for sentence in answer.against)


def _part(part: Part) -> Iterator[str]:
    yield f"## {markdown_text(part.title)}"
    yield from (markdown_words(sentence) for sentence in part.words)
    yield from (_table(table) for table in part.brief)


def _table(table: Table) -> str:
    return markdown_table(table.titles, table.rows)
