"""What an import makes of a problem, and what it refuses."""

import numpy as np
import pytest
import torch

from kernelsearch.errors import CorruptState, UsageError
from kernelsearch.importer.imported import open_imported
from kernelsearch.importer.isolation import import_kernelbench, name_target
from kernelsearch.importer.survey import Refused, import_problem
from kernelsearch.spec.library import TargetFolder
from kernelsearch.verify.case import make_case
from kernelsearch.verify.gates import negative_controls
from kernelsearch.verify.oracle import run_baseline
from tests.importer.conftest import PROBLEMS
from tests.importer.stand_ins import STAND_INS

DEGENERATE = {
    "mean of a softmax": ("return torch.softmax(x, 1).mean(1)", "a constant"),
    "saturated clamp": ("return torch.clamp(torch.tanh(x), 2.0, 3.0)", "a constant"),
    "mean without the mean": ("return (x - x.mean(1, keepdim=True)).mean(1)", "zeros"),
    "identity": ("return x + 0.0", "the input x"),
}
REFUSED = {
    "random": ("return F.dropout(x, 0.5, training=True)", "random"),
    "in place": ("return x.mul_(2.0).sin()", "in place"),
    "shape by value": ("return x[x > 0.5]", "depend on values"),
    "integers": ("return x.argmax(1)", "no floating-point tensor"),
    "own precision": ("return x.float().sin()", "converts"),
}


def survey(file, tmp_path, **settings):
    folder = tmp_path / "target"
    folder.mkdir()
    return import_problem(file, folder, "problem", settings)


@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_problem_is_refused_with_what_would_pass(write, tmp_path, name):
    forward, fake = DEGENERATE[name]
    with pytest.raises(Refused, match=f"degenerate: .*{fake}"):
        survey(write(forward), tmp_path)


@pytest.mark.parametrize("name", REFUSED)
def test_a_forward_that_is_no_function_of_its_inputs_is_refused(write, tmp_path, name):
    forward, reason = REFUSED[name]
    with pytest.raises(Refused, match=reason):
        survey(write(forward), tmp_path)


def test_an_input_that_does_not_matter_is_refused_by_name(write, tmp_path):
    file = write("return torch.sin(x)", "torch.rand(batch_size, dim), torch.rand(dim)")
    file.write_text(file.read_text().replace("forward(self, x)", "forward(self, x, unused)"))
    with pytest.raises(Refused, match="does not depend on unused"):
        survey(file, tmp_path)


def test_too_many_bytes_are_refused_with_the_sizes_to_set(write, tmp_path):
    with pytest.raises(Refused, match="--set NAME=VALUE: batch_size=100000000 dim=24"):
        survey(write("return x.sin()"), tmp_path, batch_size=10**8)


def test_a_size_that_the_file_has_not_is_an_error_with_those_it_has(write, tmp_path):
    with pytest.raises(UsageError, match=r"set='rows': .* batch_size=40 dim=24"):
        survey(write("return x.sin()"), tmp_path, rows=3)


def test_values_without_finite_answers_are_left_out_and_named(write, tmp_path):
    found = survey(write("return torch.log(x + 1e-6)"), tmp_path)
    assert {"normal", "large"} <= set(found["regimes_without_finite_answers"])
    assert {"drawn", "positive"} <= set(found["regimes"])


def test_a_left_out_kind_of_values_is_not_used_to_refuse(write, tmp_path):
    assert "normal" not in survey(write("return torch.log(x + 1e-6).mean()"), tmp_path)["regimes"]


def test_what_passes_on_the_problems_own_values_alone_is_a_note(write, tmp_path):
    notes = survey(write("return torch.relu(x)"), tmp_path)["notes"]
    assert "on inputs as the problem draws them the input x would pass; other values refuse it" in notes


def test_a_size_set_by_the_user_is_the_timed_one(write, tmp_path):
    assert survey(write("return x.sin()"), tmp_path, dim=50)["sizes"] == {"batch_size": 40, "dim": 50}


def test_constants_of_the_file_are_axes_and_what_is_derived_is_fixed(imported):
    entry = imported("conv2d").target.entries[0]
    assert [a.name for a in entry.axes if a.maximum > a.minimum] == ["batch_size", "in_channels", "out_channels"]
    assert entry.outputs[0].axes == ("batch_size", "out_channels", "n12", "n10")


def test_parameters_of_the_module_are_inputs_and_drawn_anew(imported):
    folder, rng = imported("layer_norm"), np.random.default_rng(0)
    weights = [make_case(folder, folder.edges("float32")[-1], "drawn", rng).inputs["norm_weight"] for _ in range(2)]
    assert not torch.equal(*weights)


def test_the_baseline_computes_with_the_parameters_it_is_given(imported):
    folder = imported("linear_relu_scale")
    case = make_case(folder, folder.edges("float32")[-1], "drawn", np.random.default_rng(0))
    v = case.inputs
    expected = 1.5 * torch.relu(v["x"] @ v["linear_weight"].T + v["linear_bias"])
    torch.testing.assert_close(run_baseline(folder, case)["out"], expected)


@pytest.mark.parametrize("name", STAND_INS)
def test_the_judges_controls_hold_on_an_imported_target(imported, name):
    negative_controls(imported(name), "float32", np.random.default_rng())


def test_another_problem_in_the_folder_is_noticed(write, tmp_path):
    survey(write("return x.sin()"), tmp_path)
    problem = tmp_path / "target" / "problem.py"
    problem.write_text(problem.read_text().replace("sin", "cos"))
    with pytest.raises(CorruptState, match="is not the file that was imported"):
        open_imported(tmp_path / "target")


def test_the_file_is_kept_as_it_was(imported):
    assert (imported("matmul").path / "problem.py").read_bytes() == (PROBLEMS / "matmul.py").read_bytes()


def test_a_hanging_problem_is_one_error_and_leaves_nothing(write, tmp_path):
    file = write("return x")
    file.write_text("import time\ntime.sleep(600)\n")
    with pytest.raises(UsageError, match="was not imported within 1 s and was stopped"):
        import_kernelbench(file, tmp_path / "out", {}, 1.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["problem.py"]


def test_a_crashing_problem_is_one_error_and_leaves_nothing(write, tmp_path):
    file = write("return x")
    file.write_text("import os\nos.abort()\n")
    with pytest.raises(UsageError, match="status -6"):
        import_kernelbench(file, tmp_path / "out", {}, 60.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["problem.py"]


def test_a_syntax_error_is_said_without_running_anything(tmp_path):
    file = tmp_path / "problem.py"
    file.write_text("class Model(:\n")
    with pytest.raises(UsageError, match="cannot be read as Python"):
        survey(file, tmp_path)


def test_a_file_that_is_no_problem_names_what_is_missing(tmp_path):
    file = tmp_path / "problem.py"
    file.write_text("Model = 1\n")
    with pytest.raises(UsageError, match="defines no get_inputs, get_init_inputs"):
        survey(file, tmp_path)


def test_an_existing_folder_is_never_overwritten(write, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="exists already; name another folder with --out"):
        import_kernelbench(write("return x"), tmp_path / "out", {}, 60.0)


@pytest.mark.parametrize(
    ("stem", "name"), [("12_Gemm_ReLU_", "gemm_relu"), ("1_", "problem"), ("a-b", "a_b"), ("conv2d", "conv2d")]
)
def test_a_target_is_named_for_its_file(stem, name):
    assert name_target(stem) == name


def test_the_folder_is_a_target_like_any_other(imported):
    assert isinstance(imported("matmul"), TargetFolder)
    assert imported("matmul").target.entries[0].inputs[0].axes == ("M", "K")
