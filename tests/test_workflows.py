"""Workflows and the action: valid, without known weaknesses, and every step readable without a runner."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ruamel.yaml")
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from run_workflow_steps import Expression, UnknownName, main  # noqa: E402

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / name
    if not program.exists():
        pytest.skip(f"{name} is not installed; the extra dev brings it")
    return subprocess.run([str(program), *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("schema", "files"), [("vendor.github-workflows", WORKFLOWS), ("vendor.github-actions", [ACTION])]
)
def test_files_are_what_github_reads(schema, files):
    done = tool("check-jsonschema", "--builtin-schema", schema, *map(str, files))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_linter_of_workflow_security_finds_nothing():
    done = tool(
        "zizmor", "--offline", "--no-progress", "--config", ".github/zizmor.yml", ".github/workflows", "action.yml"
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_only_read_and_never_runs_beside_another_of_its_kind(file):
    workflow = YAML(typ="safe").load(file.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]


def test_every_step_can_be_read_and_expanded():
    lines: list[str] = []
    assert main([*map(str, WORKFLOWS), str(ACTION), "--list"], lines.append) == 0
    assert sum("lines of bash" in line for line in lines) >= 8


WORKFLOW = """
on: push
jobs:
  one:
    runs-on: x
    strategy: {matrix: {greeting: [hello]}}
    env: {WHO: world}
    steps:
      - uses: actions/checkout@v5
      - id: first
        run: echo "said=${{ matrix.greeting }} $WHO" >> "$GITHUB_OUTPUT"
      - name: second
        run: test "$SAID" = 'hello world' && test -f README && exit 3
        env: {SAID: "${{ steps.first.outputs.said }}"}
      - name: third
        run: echo not reached
      - name: last
        if: always() && github.event_name == 'push'
        run: echo done >> "$GITHUB_STEP_SUMMARY"
"""


@pytest.fixture
def repository(tmp_path) -> Path:
    """A commit, and WORKFLOW in w.yml beside it."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "README").write_text("x")
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    (tmp_path / "w.yml").write_text(WORKFLOW)
    return repository


def test_only_the_named_steps_are_run(repository, tmp_path):
    lines: list[str] = []
    options = ["--repo", str(repository), "--base", "HEAD", "--event", "push", "--only", "third"]
    assert main([str(tmp_path / "w.yml"), *options], lines.append) == 0
    outcomes = [line.rpartition(": ")[2] for line in lines[1:]]
    assert outcomes == ["the clone stands for it", *["left out as asked"] * 2, "passed", "left out as asked"]


def test_steps_run_in_a_fresh_clone_and_a_failure_stops_what_is_not_always_run(repository, tmp_path):
    lines: list[str] = []
    summary = tmp_path / "summary.md"
    options = ["--repo", str(repository), "--base", "HEAD", "--event", "push", "--summary", str(summary)]
    assert main([str(tmp_path / "w.yml"), *options], lines.append) == 1
    assert [line.rpartition(": ")[2] for line in lines[1:]] == [
        "the clone stands for it",
        "passed",
        "failed with status 3",
        "left out by its condition",
        "passed",
    ]
    assert summary.read_text() == "done\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("inputs.a == 'x' && inputs.b != ''", True),
        ("github.nothing || inputs.a", "x"),
        ("!(failure() || inputs.a == 'y')", True),
        ("'it''s'", "it's"),
    ],
)
def test_expressions(text, value):
    contexts = {"inputs": {"a": "x", "b": "y"}, "github": {}}
    assert Expression(text, contexts, has_failed=False).value() == value


@pytest.mark.parametrize("text", ["inputs.typo", "secret.x", "inputs.a inputs.a"])
def test_a_name_that_nothing_declares_is_an_error(text):
    with pytest.raises(UnknownName):
        Expression(text, {"inputs": {"a": "x"}}, has_failed=False).value()
