"""Runs the `run:` steps of a workflow or composite action here, in a fresh clone, as a runner would.

    python scripts/run_workflow_steps.py .github/workflows/benchmark.yml --base HEAD^
    python scripts/run_workflow_steps.py .github/workflows/tests.yml --only "Make the environment"
    python scripts/run_workflow_steps.py action.yml --set inputs.compare=HEAD^ --set inputs.run=
    python scripts/run_workflow_steps.py .github/workflows/*.yml action.yml --list

What can be known without a runner is: order, `if`, `env`, matrices (the first of each, or --set matrix.NAME=VALUE),
expressions, and the files that steps hand values on with. `uses:` steps cannot run here; they are listed, and the
clone stands for actions/checkout. Status 1 where a step failed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TOKEN = re.compile(r"\s*(?:(\|\||&&|==|!=|!|\(|\)|,)|'((?:[^']|'')*)'|([\w.*-]+))")
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
NOT_HERE = "not run here"


class UnknownName(ValueError):
    """An expression names something that no runner would know either, or that was not set."""


class Expression:
    """The part of GitHub's expressions that workflows here use: contexts, literals, == != ! && || and status."""

    def __init__(self, text: str, contexts: Mapping[str, Any], *, has_failed: bool) -> None:
        self._tokens = [found.groups() for found in TOKEN.finditer(text.strip())]
        self._contexts, self._has_failed = contexts, has_failed
        self._at = 0

    def value(self) -> Any:
        found = self._either()
        if self._at != len(self._tokens):
            raise UnknownName(f"cannot read the expression from token {self._at + 1}")
        return found

    def _next(self, *operators: str) -> str | None:
        if self._at < len(self._tokens) and self._tokens[self._at][0] in operators:
            self._at += 1
            return self._tokens[self._at - 1][0]
        return None

    def _either(self) -> Any:
        left = self._both()
        while self._next("||"):
            right = self._both()
            left = left or right
        return left

    def _both(self) -> Any:
        left = self._comparison()
        while self._next("&&"):
            right = self._comparison()
            left = left and right
        return left

    def _comparison(self) -> Any:
        left = self._atom()
        operator = self._next("==", "!=")
        if operator is None:
            return left
        is_same = str(left) == str(self._atom())
        return is_same if operator == "==" else not is_same

    def _atom(self) -> Any:
        if self._next("!"):
            return not self._atom()
        if self._next("("):
            found = self._either()
            self._next(")")
            return found
        _, literal, name = self._tokens[self._at]
        self._at += 1
        if name is None:
            return (literal or "").replace("''", "'")
        if self._next("("):
            self._next(")")
            return {"always": True, "failure": self._has_failed, "success": not self._has_failed}[name]
        return self._look_up(name)

    def _look_up(self, name: str) -> Any:
        found: Any = self._contexts
        for depth, part in enumerate(name.split(".")):
            if depth == 1 and name.split(".")[0] in ("inputs", "matrix") and part not in found:
                raise UnknownName(f"{name} is not declared")
            if depth == 0 and part not in found:
                raise UnknownName(f"{part} is no context")
            found = found.get(part, "") if isinstance(found, Mapping) else ""
        return found


@dataclass
class Runner:
    """One job's state: contexts, environment, and what became of each step."""

    workspace: Path
    temporary: Path
    contexts: dict[str, Any]
    environment: dict[str, str]
    skipped: frozenset[str]
    chosen: frozenset[str]
    is_listed: bool
    timeout_s: float
    report: list[tuple[str, str]] = field(default_factory=list)
    has_failed: bool = False

    def expand(self, text: Any) -> str:
        return EXPRESSION.sub(lambda found: _shown(self.evaluate(found[1])), _shown(text))

    def evaluate(self, text: str) -> Any:
        return Expression(text, self.contexts, has_failed=self.has_failed).value()

    def run_steps(self, steps: list[dict[str, Any]]) -> None:
        for number, step in enumerate(steps, 1):
            name = self.expand(step.get("name") or step.get("uses") or step.get("id") or f"step {number}")
            outcome = self._run_step(step, name)
            self.report.append((name, outcome))
            print(f"== {name}: {outcome}", file=sys.stderr, flush=True)

    def _run_step(self, step: dict[str, Any], name: str) -> str:
        condition = str(step.get("if", "success()")).removeprefix("${{").removesuffix("}}")
        is_wanted = self.evaluate(condition)
        if not re.search(r"\b(always|failure|success)\(\)", condition):
            is_wanted = is_wanted and not self.has_failed
        environment = {**self.environment, **{k: self.expand(v) for k, v in (step.get("env") or {}).items()}}
        if "uses" in step:
            for value in (step.get("with") or {}).values():
                self.expand(value)
            return f"{NOT_HERE} (uses)" if "checkout" not in step["uses"] else "the clone stands for it"
        script = self.expand(step["run"])
        if self.is_listed:
            return f"{len(script.splitlines())} lines of {step.get('shell', 'bash')}"
        if not is_wanted:
            return "left out by its condition"
        if name in self.skipped or (self.chosen and name not in self.chosen):
            return "left out as asked"
        print(f"== {name}", file=sys.stderr, flush=True)
        return self._execute(step, script, environment)

    def _execute(self, step: dict[str, Any], script: str, environment: dict[str, str]) -> str:
        files = {key: self.temporary / key.lower() for key in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        for file in files.values():
            file.write_text("")
        summary = self.temporary / "summary.md"
        environment |= {key: str(file) for key, file in files.items()} | {"GITHUB_STEP_SUMMARY": str(summary)}
        folder = self.workspace / self.expand(step.get("working-directory", "."))
        try:
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                timeout=self.timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self.has_failed = True
            return f"failed: longer than {self.timeout_s:g} s"
        outputs = _assignments(files["GITHUB_OUTPUT"])
        self.contexts["steps"].setdefault(step.get("id", ""), {})["outputs"] = outputs
        self.environment |= _assignments(files["GITHUB_ENV"])
        self.has_failed = self.has_failed or done.returncode != 0
        return "passed" if done.returncode == 0 else f"failed with status {done.returncode}"


def _shown(value: Any) -> str:
    return {True: "true", False: "false", None: ""}.get(value, str(value)) if not isinstance(value, str) else value


def _assignments(file: Path) -> dict[str, str]:
    """NAME=VALUE lines; values of several lines are not used here and refused."""
    lines = [line for line in file.read_text().splitlines() if line]
    if any("<<" in line.partition("=")[0] for line in lines):
        raise UnknownName(f"{file.name}: values of several lines are not read here")
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def first_of_matrix(job: dict[str, Any]) -> dict[str, Any]:
    matrix = (job.get("strategy") or {}).get("matrix") or {}
    return {name: values[0] for name, values in matrix.items() if name not in ("include", "exclude")}


def jobs_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A workflow's jobs; a composite action as its one job, with the defaults of its inputs."""
    if "runs" in document:
        return {"action": {"steps": document["runs"]["steps"]}}
    return dict(document["jobs"])


def default_inputs(document: dict[str, Any]) -> dict[str, str]:
    return {name: _shown((spec or {}).get("default", "")) for name, spec in (document.get("inputs") or {}).items()}


def contexts_for(
    document: dict[str, Any], job: dict[str, Any], asked: argparse.Namespace, clone: Path
) -> dict[str, Any]:
    """What a runner would know, as far as it can be known here; `--set` overrides it."""
    event = {"before": asked.base, "pull_request": {"number": 1, "base": {"sha": asked.base}}}
    contexts: dict[str, Any] = {
        "github": {
            "event": event if asked.event == "pull_request" else {"before": asked.base},
            "event_name": asked.event,
            "ref": "refs/heads/main",
            "action_path": str(clone),
            "workspace": str(clone),
            "token": "",
        },
        "matrix": first_of_matrix(job),
        "inputs": default_inputs(document),
        "steps": {},
        "vars": {},
        "env": {},
        "runner": {"os": "Linux"},
    }
    for setting in asked.set:
        name, is_given, value = setting.partition("=")
        context, _, key = name.partition(".")
        if not is_given or context not in contexts or not key:
            sys.exit(f"--set {setting}: write CONTEXT.NAME=VALUE, such as inputs.compare=HEAD^")
        contexts[context][key] = value
    return contexts


def run_job(document: dict[str, Any], job: dict[str, Any], asked: argparse.Namespace, scratch: Path) -> Runner:
    clone, temporary = scratch / "clone", scratch / "temp"
    temporary.mkdir(parents=True)
    if not asked.list:
        subprocess.run(["git", "clone", "--quiet", str(asked.repo.resolve()), str(clone)], check=True)
        base = ["git", "-C", str(asked.repo), "rev-parse", "--verify", asked.base]
        asked.base = subprocess.run(base, check=True, capture_output=True, text=True).stdout.strip()
    runner = Runner(
        clone,
        temporary,
        contexts_for(document, job, asked, clone),
        {**os.environ, "CI": "true", "RUNNER_TEMP": str(temporary), "GITHUB_WORKSPACE": str(clone)},
        frozenset(asked.skip),
        frozenset(asked.only),
        asked.list,
        asked.timeout,
    )
    runner.environment.pop("VIRTUAL_ENV", None)
    runner.environment |= {
        k: runner.expand(v) for k, v in {**(document.get("env") or {}), **(job.get("env") or {})}.items()
    }
    runner.run_steps(job["steps"])
    summary = temporary / "summary.md"
    if asked.summary is not None and summary.is_file():
        shutil.copy(summary, asked.summary)
    return runner


def main(arguments: list[str] | None = None, out: Callable[[str], Any] = print) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--repo", type=Path, default=Path(), help="what is cloned: commit first")
    parser.add_argument("--base", default="HEAD^", help="the commit that the event names as its base")
    parser.add_argument("--event", default="pull_request", choices=("pull_request", "push", "workflow_dispatch"))
    parser.add_argument("--set", action="append", default=[], help="CONTEXT.NAME=VALUE")
    parser.add_argument("--skip", action="append", default=[], help="name of a step to leave out")
    parser.add_argument("--only", action="append", default=[], help="name of a step to run, the others left out")
    parser.add_argument("--list", action="store_true", help="only read and expand every step")
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for one step")
    parser.add_argument("--summary", type=Path, help="copy the step summary to this file")
    asked = parser.parse_args(arguments)
    has_failed = False
    for file in asked.files:
        document = YAML(typ="safe").load(file.read_text())
        for name, job in jobs_of(document).items():
            with tempfile.TemporaryDirectory(prefix="workflow-") as scratch:
                runner = run_job(document, job, asked, Path(scratch))
            has_failed = has_failed or runner.has_failed
            out(f"{file} {name}")
            for step, outcome in runner.report:
                out(f"  {step}: {outcome}")
    return 1 if has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
