"""What the documents tell a reader to type, and the files they tell a reader to write."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
# These name commands in their prose alone.
PROSE = (*PAGES, ROOT / "AGENTS.md", ROOT / "CHANGELOG.md", ROOT / ".agents" / "skills" / "kernelsearch" / "SKILL.md")
COMMAND = re.compile(r"^(?:\$ )?(?:bash scripts/run|kernelsearch)\s+(.*)$")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """One command line of a page: the page's name and the arguments of `kernelsearch`."""

    page: str
    arguments: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.arguments)

    def __str__(self) -> str:
        return f"{self.page}: kernelsearch {' '.join(self.arguments)}"


def commands(page: Path) -> list[Command]:
    """The command lines in a page's indented and fenced blocks, without comments and columns of explanation."""
    text = re.sub(r"\\\n\s*", "", page.read_text())
    fenced = [line for language, block in FENCE.findall(text) for line in block.splitlines() if language != "python"]
    indented = [line[4:] for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    found = [COMMAND.match(line.strip()) for line in [*fenced, *indented]]
    return [Command(page.name, _arguments(match[1])) for match in found if match]


def mentioned(page: Path) -> list[Command]:
    """Commands within the prose of a page, between backquotes, a break of the line among them or not."""
    spans = re.findall(r"`kernelsearch\s+([^`]+)`", FENCE.sub("", page.read_text()))
    return [Command(page.name, _arguments(" ".join(span.split()))) for span in spans]


def files(page: Path) -> dict[str, str]:
    """Python blocks that begin with a comment that names a file: `# mine.py`."""
    blocks = [block for language, block in FENCE.findall(page.read_text()) if language == "python"]
    named = [(re.match(r"# (\w+\.py)\n", block), block) for block in blocks]
    return {match[1]: block for match, block in named if match}


def _arguments(text: str) -> tuple[str, ...]:
    """Explanations stand after two blanks or a #; optional parts in brackets count as given."""
    line = re.split(r"\s{2,}|\s#", text)[0].replace("[", "").replace("]", "")
    return tuple(shlex.split(line))
