"""The proposers that ask somebody, on answers that depend on the question alone."""

import re
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from kernelsearch.search.conformance import ProposerConformance
from kernelsearch.search.llm import AgentClient, Asking, Confinement, Limits, ModelProposer, Prompt
from tests.search.llm.conftest import FACTS, Scripted, make_calls

FACTS_OF_TOY = replace(FACTS, target="toy")
AGENT = """\
number=$(sed -n 's/^# Question //p' brief.md)
printf '// tune: X in 2 4\\n// agent %s\\n' "$number" > candidate.cpp
"""


class Asked(ProposerConformance):
    """Each proposer has a ledger of its own: nothing is remembered between two of them."""

    limit = 4

    @pytest.fixture(autouse=True)
    def _keep(self, tmp_path: Path) -> None:
        self.folders = (tmp_path / f"state-{number}" for number in count())

    def client(self):
        return Scripted(answer)

    def make(self, seeds, seed):
        calls = make_calls(next(self.folders), Limits(calls=self.limit), prices={})
        how = Asking(seed, tune_every=0, is_folder=isinstance(self.client(), AgentClient))
        return ModelProposer("asked", seeds, [self.client()], calls, FACTS_OF_TOY, how)


def answer(prompt: Prompt) -> str:
    number = re.search(r"# Question (\d+)", prompt.turn)[1]
    return f"name: n{number}\n\n```cpp\n// tune: X in 2 4\n// model {number}\n```"


class TestModel(Asked):
    pass


class TestAgent(Asked):
    limit = 2

    @pytest.fixture(autouse=True)
    def _agent(self, tmp_path: Path, tmp_path_factory) -> None:
        script = tmp_path / "agent.sh"
        script.write_text(AGENT)
        cache_dir = tmp_path_factory.getbasetemp() / "agent-cache"
        self.agent = AgentClient(f"/bin/sh {script}", "candidate.cpp", Confinement(cache_dir, (script,)))

    def client(self):
        return self.agent
