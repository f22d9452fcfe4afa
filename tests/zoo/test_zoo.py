"""Every exploit of the zoo is stopped by the gate it names, and the judge still judges rightly afterwards."""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from kernelsearch.build.host import host_functions, lint_host
from kernelsearch.errors import UsageError
from kernelsearch.sandbox.judge import Care, Judge
from kernelsearch.scorecard.zoo import NOT_ACCEPTED, Exploit, read_exploit, read_zoo, stop, stop_without
from kernelsearch.spec import TargetFolder, read_candidate
from kernelsearch.spec.library import library_path
from kernelsearch.timing.clock import Effort
from tests.sandbox.candidates import HONEST, replaced

ZOO = Path(__file__).parent
EXPLOITS = read_zoo(ZOO)
GATES = [
    *("contract", "build", "lint", "load", "smoke", "properties", "ladder", "search", "determinism", "soak"),
    *("timed shapes", "memory", "controls", "timing"),
]
CARE = Care(examples=10, search_s=1.0, effort=Effort(seconds=0.1, minimum_rounds=12, maximum_rounds=12))
QUICK_PYTHON = (
    *("c01_stale_memory", "c14_patched_comparison", "c26_forged_answers"),
    *("s02_network", "s05_pickle_bomb", "t10_thread"),
)
DEAR = frozenset({"memory", "soak", "search", "determinism", "timed shapes", "controls", "timing"})
CATALOGUE = {"T": 27, "C": 38, "N": 33, "L": 9, "S": 16, "W": 10}
TABLE_LINE = re.compile(r"^\| ([A-Z]\d\d) \| [^|]+ \| (.+?) \|$", re.MULTILINE)


def folder_of(target: str) -> TargetFolder:
    places = (ZOO / "targets" / target, ZOO.parent / "sandbox" / target, library_path() / target)
    return TargetFolder(next(place for place in places if place.is_dir()))


def honest_files(language: str) -> list[Path]:
    return sorted((ZOO / "honest" / language).glob("*.*"))


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture
def judge(cache_dir):
    """A function from a target's name and a dtype to the judge."""

    def make(target: str, dtype: str = "float32") -> Judge:
        folder = folder_of(target)
        return Judge(folder, dtype, folder.workloads("tiny", dtype), cache_dir, threads, CARE)

    threads = torch.get_num_threads()
    yield make
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def hangs_are_short(monkeypatch):
    monkeypatch.setattr("kernelsearch.sandbox.execution.CALL_TIMEOUT_S", 5.0)


def marked(exploits: list[Exploit]) -> list:
    return [pytest.param(e, id=e.name, marks=marks(e)) for e in exploits]


def marks(exploit: Exploit) -> list[pytest.MarkDecorator]:
    is_slow = exploit.language == "python" and exploit.path.stem not in QUICK_PYTHON  # seconds of interpreters each
    return [pytest.mark.slow] if is_slow else []


@cache
def example_of(gate: str) -> Exploit:
    wanted = (e for e in EXPLOITS if e.gate == gate and e.language == "cpp")
    return next(e for e in wanted if e.status != NOT_ACCEPTED)


@pytest.mark.parametrize("exploit", marked(list(EXPLOITS)))
def test_an_exploit_is_stopped_by_the_gate_it_names_and_leaves_the_judge_sound(judge, exploit):
    outcome = stop(exploit, judge(exploit.target, exploit.dtype))
    assert outcome.is_as_named, (outcome.gate, outcome.verdict)
    quick = replace(judge("row_sum"), without=DEAR)
    assert quick.judge(read_candidate("row_sum", "cpp", HONEST, "after")).passed
    wrong = replaced("d < D; d++) sum", "d < D - 1; d++) sum")
    assert quick.judge(read_candidate("row_sum", "cpp", wrong, "after")).status == "MISMATCH"


@pytest.mark.slow
@pytest.mark.parametrize("exploit", marked([e for e in EXPLOITS if e.behind]))
def test_without_its_gate_an_exploit_is_stopped_by_the_next_one_it_names(judge, exploit):
    outcome = stop_without(exploit, judge(exploit.target, exploit.dtype), exploit.gate)
    assert (outcome.gate, outcome.verdict.status) == exploit.behind, outcome.verdict


@pytest.mark.parametrize(
    "gate", [gate for gate in GATES if gate != "load"]
)  # nothing can be asked of what is not there
def test_a_gate_that_is_left_out_lets_its_exploit_get_further(judge, gate):
    exploit = example_of(gate)
    assert stop(exploit, judge(exploit.target, exploit.dtype)).gate == gate
    outcome = stop_without(exploit, judge(exploit.target, exploit.dtype), gate)
    assert outcome.gate is None or GATES.index(outcome.gate) > GATES.index(gate), outcome.verdict


def test_every_gate_of_the_judge_has_an_exploit(judge):
    verdict = judge("row_sum").judge(read_candidate("row_sum", "cpp", HONEST, "test"))
    assert verdict.passed, verdict
    assert [gate.name for gate in verdict.gates] == GATES
    assert {gate.name for gate in verdict.gates} <= {e.gate for e in EXPLOITS}


@pytest.mark.parametrize("file", honest_files("cpp"), ids=lambda file: file.stem)
def test_an_honest_kernel_that_looks_suspicious_passes(judge, file):
    verdict = judge("row_sum").prove(read_candidate("row_sum", "cpp", file.read_text(), "honest"))
    assert verdict.passed, verdict


@pytest.mark.slow
@pytest.mark.parametrize("file", honest_files("python"), ids=lambda file: file.stem)
def test_an_honest_python_kernel_that_looks_suspicious_passes(judge, file):
    verdict = judge("row_sum").prove(read_candidate("row_sum", "python", file.read_text(), "honest"))
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    "file", honest_files("triton") + honest_files("cuda"), ids=lambda f: f"{f.parent.name}-{f.stem}"
)
def test_an_honest_gpu_kernel_that_looks_suspicious_passes_the_lint(file):
    target, source = folder_of("row_sum").target, file.read_text()
    lint_host(source, file.parent.name, host_functions(target, source))


def table() -> list[tuple[str, str]]:
    return TABLE_LINE.findall((ZOO / "README.md").read_text())


def test_the_readme_has_every_row_of_the_catalogue_once():
    wanted = [f"{letter}{i:02}" for letter, count in CATALOGUE.items() for i in range(1, count + 1)]
    assert [row for row, _ in table()] == wanted


def test_the_readme_names_every_file_in_its_row():
    named = {(row, name) for row, text in table() for name in re.findall(r"`(\w+/\w+)`", text)}
    assert named == {(e.id, e.name) for e in EXPLOITS}


def test_a_row_without_a_file_says_why():
    assert all("`" in text or text.startswith("does not apply: ") for _, text in table())


@pytest.mark.parametrize("line", ["gate", "status", "target", "exploit"])
def test_a_file_without_a_needed_line_is_an_error_that_names_it(tmp_path, line):
    source = (ZOO / "cpp" / "c20_zeros.cpp").read_text()
    file = tmp_path / "some.cpp"
    file.write_text(re.sub(rf"// {line}: .*\n", "", source))
    with pytest.raises(UsageError, match=line):
        read_exploit(file, "cpp")
