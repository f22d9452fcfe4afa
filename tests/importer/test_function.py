"""A function of one's own: what becomes of it as a target, as a source to start from, and in a call."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import kernelsearch
from kernelsearch.build import cpp
from kernelsearch.dispatch.operators import register
from kernelsearch.errors import OutsideDomain, UsageError
from kernelsearch.importer.call import make_adapter
from kernelsearch.importer.function import read_function
from kernelsearch.importer.survey import import_problem
from kernelsearch.sandbox.judge import Care, Judge
from kernelsearch.spec import TargetFolder, read_candidate
from kernelsearch.verify.case import make_case
from kernelsearch.verify.compare import find_difference
from kernelsearch.verify.oracle import expect

OWN = Path(__file__).parent / "own.py"
FUSED = ("scaled_gelu", "affine_norm", "swish", "row_softmax")  # the last is in tests/custom


@pytest.fixture(scope="session")
def own(tmp_path_factory) -> Callable[[str], TargetFolder]:
    @cache
    def find(name: str) -> TargetFolder:
        place = tmp_path_factory.mktemp("own")
        (place / "own.py").write_text(read_function(f"{OWN}:{name}").problem_source)
        (place / name).mkdir()
        import_problem(place / "own.py", place / name, name, {})
        return TargetFolder(place / name)

    return find


def fused_results(folder: TargetFolder, inputs: dict, gradients: dict, cache_dir: Path) -> dict[str, torch.Tensor]:
    """Outputs and gradients of the generated source, by the operator that training would call."""
    target = folder.target
    entry = target.entries[0]
    candidate = read_candidate(target.name, "cpp", folder.seeds("cpp")["fused"], "test")
    artifact = cpp.build(target, candidate, "float32", cache_dir)
    operators = register(entry, (), "float32", "cpu", artifact.path, candidate.digest)
    leaves = [t.clone().requires_grad_(n in entry.gradients) for n, t in inputs.items()]
    out = operators.forward(*leaves)
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    found = torch.autograd.grad([out], wanted, [gradients[f"d{entry.outputs[0].name}"]])
    named = dict(zip((f"d{n}" for n in entry.gradients), found, strict=True))
    return {entry.outputs[0].name: out.detach()} | named


@pytest.mark.parametrize("name", FUSED[:3])
def test_a_generated_source_gives_outputs_and_gradients_as_right_as_the_rule_asks(own, tmp_path, name):
    folder = own(name)
    case = make_case(folder, folder.edges("float32")[-1], "normal", np.random.default_rng(0))
    got = fused_results(folder, dict(case.inputs), dict(case.output_gradients or {}), tmp_path)
    answers = expect(folder, case).answers
    assert {n: find_difference(got[n], answers[n]) for n in answers} == dict.fromkeys(answers)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSED)
def test_a_generated_source_passes_every_gate(own, tmp_path, name):
    folder = own(name)
    judge = Judge(folder, "float32", folder.workloads("own", "float32"), tmp_path, threads=1, care=Care(8, 1.0))
    verdict = judge.prove(read_candidate(name, "cpp", folder.seeds("cpp")["fused"], "test"))
    assert verdict.passed, verdict


def test_a_gradient_that_is_a_little_wrong_is_refused(own):
    folder = own("affine_norm")
    case = make_case(folder, folder.edges("float32")[-1], "normal", np.random.default_rng(0))
    answer = expect(folder, case).answers["dx"]
    assert find_difference((answer.exact * 1.0001).float(), answer) is not None


def test_a_function_that_is_no_work_on_elements_or_rows_has_no_generated_source(own):
    assert own("product").seeds("cpp") == {}


def test_only_what_the_function_needs_of_its_file_is_kept():
    source = read_function(f"{OWN}:affine_norm").source
    assert "EPSILON = 1e-5" in source
    assert "raise_if_executed" not in source and "def swish" not in source


def test_an_undeclared_function_is_refused_with_what_to_write():
    with pytest.raises(UsageError, match=r"put @kernelsearch.target\(shapes"):
        _ = read_function(f"{OWN}:plain").declaration


def test_a_file_with_several_declared_functions_asks_which():
    with pytest.raises(UsageError, match=r"own.py:scaled_gelu, .*own.py:affine_norm"):
        read_function(str(OWN))


def test_a_declaration_that_misses_an_argument_names_it():
    with pytest.raises(UsageError, match="takes y too"):
        kernelsearch.target(shapes={"x": "n"}, sizes={"n": 3})(lambda x, y: x)


def test_a_call_with_another_value_than_a_default_stays_outside():
    adapt = make_adapter(read_function(f"{OWN}:affine_norm").function)
    x = torch.ones(2, 3)
    with pytest.raises(OutsideDomain, match="eps is not its default"):
        adapt(lambda *tensors: None, x, weight=x[0], bias=x[0], eps=1.0)


def test_a_function_without_a_kernel_says_so_and_runs_as_it_is(tmp_path):
    with pytest.warns(UserWarning, match="runs as it is: not optimized as it stands"):
        swapped = kernelsearch.load(f"{OWN}:swish", state=tmp_path)
    x, s = torch.randn(7), torch.tensor(2.0)
    torch.testing.assert_close(swapped(x, s), x * torch.sigmoid(s * x))
    assert swapped.report()["fallbacks"] == {f"float32: {swapped.refused['float32']}": 1}
