"""A declared function with an accepted kernel: the kernel inside its domain, the function elsewhere, both counted."""

import warnings
from pathlib import Path

import pytest
import torch

import kernelsearch
from kernelsearch.custom.load import FOLDER, Swapped
from kernelsearch.dispatch.store import Store
from kernelsearch.importer.function import read_function
from kernelsearch.importer.survey import import_problem
from kernelsearch.spec import TargetFolder, read_candidate
from tests.dispatch.sample import make_accepted

OWN = Path(__file__).parents[1] / "importer" / "own.py"
NAME = f"{OWN}:row_softmax"
DOMAIN = {"row_softmax": {"rows": (1, 64), "dim": (1, 64)}}


@pytest.fixture(scope="session")
def state(tmp_path_factory) -> Path:
    """A state folder whose store holds the generated kernel, as if a study had accepted it."""
    place = tmp_path_factory.mktemp("state")
    found = read_function(NAME)
    path = place / FOLDER / found.folder_name
    path.mkdir(parents=True)
    (place / "own.py").write_text(found.problem_source)
    import_problem(place / "own.py", path, found.name, {})
    folder = TargetFolder(path)
    candidate = read_candidate(found.name, "cpp", folder.seeds("cpp")["fused"], "test")
    verdict = make_accepted().verdict
    changes = {"target": found.name, "digest": candidate.digest, "domain": DOMAIN}
    verdict = type(verdict)(**{**vars(verdict), **changes})
    accepted = make_accepted(contract_digest=folder.contract_digest)
    fields = {**vars(accepted), "candidate": candidate, "verdict": verdict}
    Store(place / "no library", place).add(type(accepted)(**fields))
    return place


@pytest.fixture
def swapped(state) -> Swapped:
    return kernelsearch.load(NAME, state=state)


def test_a_call_inside_the_domain_launches_the_kernel_forward_and_backward(swapped):
    x = torch.randn(5, 33, requires_grad=True)
    swapped(x).square().sum().backward()
    again = x.detach().clone().requires_grad_()
    torch.softmax(again, -1).square().sum().backward()
    torch.testing.assert_close(x.grad, again.grad)
    assert swapped.report()["kernels"]["float32"]["launches"] == {"forward": 1, "backward": 1}


def test_a_call_outside_the_domain_runs_the_function_and_is_counted(swapped):
    x = torch.randn(2, 3, 4)
    torch.testing.assert_close(swapped(x), torch.softmax(x, -1))
    assert swapped.report()["kernels"]["float32"]["fallbacks"] == {"x has another shape": 1}


def test_what_ran_is_shown_in_one_line(swapped):
    swapped(torch.randn(65, 3))
    assert "fell back 1 x axis rows outside the verified 1..64" in repr(swapped)


def test_an_edited_function_does_not_meet_its_old_kernel(state, tmp_path):
    edited = tmp_path / "own.py"
    edited.write_text(OWN.read_text().replace("torch.softmax(x, -1)", "torch.softmax(2 * x, -1)"))
    with pytest.warns(UserWarning, match="not optimized as it stands"):
        assert kernelsearch.load(f"{edited}:row_softmax", state=state).bindings == {}


def test_an_edit_elsewhere_in_the_file_keeps_the_kernel(state, tmp_path):
    edited = tmp_path / "own.py"
    edited.write_text(OWN.read_text().replace("x * torch.sigmoid(s * x)", "x"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert kernelsearch.load(f"{edited}:row_softmax", state=state).bindings
