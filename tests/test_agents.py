"""What AGENTS.md, the skill and the guides tell an agent to run exists as they write it."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer.main

from kernelsearch.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
SKILL = ROOT / ".agents" / "skills" / "kernelsearch" / "SKILL.md"
GUIDES = [ROOT / "AGENTS.md", SKILL, ROOT / "docs" / "ideas.md", ROOT / "docs" / "mcp.md"]
QUOTED = re.compile(r"`kernelsearch ([^`]+)`|^    kernelsearch (.+?)(?:  +.*)?$", re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    return [(f.name, one or other) for f in GUIDES for one, other in QUOTED.findall(f.read_text())]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    command: click.Command = typer.main.get_command(app)
    while isinstance(command, click.Group) or hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]
    return command, words


@pytest.mark.parametrize(("file", "text"), commands(), ids=lambda value: value[:60])
def test_a_quoted_command_and_its_options_exist(file, text):
    command, words = resolve(shlex.split(text, comments=True))
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_commands_are_found_in_every_guide():
    assert {file for file, _ in commands()} == {guide.name for guide in GUIDES}


def test_the_skill_has_the_head_that_agents_look_for():
    head = SKILL.read_text().split("---")[1]
    fields = dict(line.split(": ", 1) for line in head.strip().splitlines())
    assert fields["name"] == SKILL.parent.name
    assert 50 < len(fields["description"]) <= 1024


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_paths_that_a_guide_names_exist(guide):
    named = re.findall(r"`((?:kernels|tests|docs|bench|scripts|kernelsearch)/[\w./]*)`", guide.read_text())
    assert [path for path in named if "TARGET" not in path and not (ROOT / path).exists()] == []
