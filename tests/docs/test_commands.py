"""Every command in the documents is one that the command line takes, and is run, but for a list with reasons."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from kernelsearch.cli.app import app
from tests.docs.blocks import PAGES, PROSE, ROOT, Command, commands, mentioned
from tests.docs.readers import LESS, NOT_RUN, SERVERS, make_folder, run

EVERY = [command for page in PAGES for command in commands(page)]

PLACEHOLDER = re.compile(r"\b(?!HEAD\b)[A-Z]{2,}\b(?!=)|\.\.\.")


def resolve(arguments: tuple[str, ...]) -> None:
    """Raises where the command line would refuse these arguments before doing anything."""
    command, rest = typer.main.get_command(app), list(arguments)
    while hasattr(command, "commands") and rest:
        name = rest.pop(0)
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    numbers = ["3" if argument == "N" else argument for argument in rest]
    command.make_context("kernelsearch", numbers)


def refusal(command: Command) -> str | None:
    """Why the command line would not take it, other than that prose leaves out what a command needs."""
    try:
        resolve(command.arguments)
    except Exception as refused:  # typer keeps the classes to itself
        kind = type(refused).__name__
        return None if kind in {"MissingParameter", "NoArgsIsHelpError"} else str(refused)
    return None


def test_the_documents_have_commands_at_all():
    assert len(EVERY) > 20


def test_the_lists_of_what_runs_otherwise_name_commands_of_the_documents_and_leave_no_placeholder():
    written = {command.text for command in EVERY}
    assert {*NOT_RUN, *LESS, *SERVERS} - written == set()
    as_written = written - {*NOT_RUN, *LESS, *SERVERS}
    assert [text for text in as_written if PLACEHOLDER.search(text)] == []


@pytest.mark.parametrize("command", EVERY, ids=str)
def test_a_command_in_the_documents_is_one_that_the_command_line_takes(command):
    resolve(command.arguments)


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.name)
def test_a_command_named_in_prose_exists_with_its_options(page):
    assert {command.text: said for command in mentioned(page) if (said := refusal(command))} == {}


@pytest.mark.parametrize("script", ["reference.py", "readme_tables.py"])
def test_a_generated_page_is_not_stale(script):
    assert subprocess.run([sys.executable, str(ROOT / "scripts" / script), "--check"]).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run_one_after_the_other(page, tmp_path):
    make_folder(page, tmp_path)
    ran = {command.text: run(command.text, tmp_path) for command in commands(page) if command.text not in NOT_RUN}
    assert {text: said for text, said in ran.items() if said not in (0, 1)} == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_brings_its_targets_and_works_outside_the_checkout(tmp_path):
    def call(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        where = {**os.environ, **environment}
        return subprocess.run(command, cwd=tmp_path, env=where, capture_output=True, text=True, check=False)

    built = call(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", str(tmp_path), str(ROOT))
    assert built.returncode == 0, built.stderr
    # The dependencies of this environment serve the new one: PyTorch is too large to install for each test.
    call(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"))
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (wheel,) = tmp_path.glob("kernelsearch-*.whl")
    assert call(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(site), str(wheel)).returncode == 0
    here = Path(pytest.__file__).parents[1]
    (site / "dependencies.pth").write_text(f"{here}\n")
    python, home = str(tmp_path / "venv" / "bin" / "python"), str(tmp_path / "state")
    shown = call(python, "-m", "kernelsearch", "targets", "--json", KERNELSEARCH_HOME=home)
    assert '"name": "attention"' in shown.stdout, shown.stderr
    found = call(python, "-c", "import kernelsearch; print(kernelsearch.__file__)").stdout
    assert found.startswith(str(site))
    assert call(python, "-m", "kernelsearch", "doctor", KERNELSEARCH_HOME=home).returncode == 0
