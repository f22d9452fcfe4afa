"""`kernelsearch import` as a script meets it."""

import json

from tests.cli.test_cli import call
from tests.importer.conftest import PROBLEMS


def test_an_import_makes_a_target_that_shows_its_abi(tmp_path):
    out = tmp_path / "linear"
    done = call(
        "import", "kernelbench", str(PROBLEMS / "linear_relu_scale.py"), "--out", str(out), "--json", home=tmp_path
    )
    assert (done.returncode, json.loads(done.stdout)["folder"]) == (0, str(out)), done.stderr
    shown = call("targets", "show", str(out), "--abi", home=tmp_path).stderr
    assert "linear_relu_scale_forward(const scalar_t* x, const scalar_t* linear_weight" in shown


def test_a_refusal_has_status_1_and_its_reason(tmp_path):
    file = tmp_path / "mean.py"
    file.write_text((PROBLEMS / "1_Soft_max.py").read_text().replace("dim=1)", "dim=1).mean(1)"))
    done = call("import", "kernelbench", str(file), "--out", str(tmp_path / "out"), "--json", home=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "degenerate: a constant" in json.loads(done.stdout)["refused"]
    assert not (tmp_path / "out").exists()


def test_an_unknown_kind_of_problem_is_wrong_usage(tmp_path):
    done = call("import", "kernelbank", "x.py", home=tmp_path)
    assert (done.returncode, "choose from kernelbench" in done.stderr) == (2, True)
