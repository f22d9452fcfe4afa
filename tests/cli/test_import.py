"""`kernelsearch import` as a script meets it."""

import json

from tests.importer.conftest import PROBLEMS


def test_an_import_makes_a_target_that_shows_its_abi(run, tmp_path):
    out = tmp_path / "linear"
    done = run("import", "kernelbench", str(PROBLEMS / "linear_relu_scale.py"), "--out", str(out), "--json")
    assert (done.returncode, json.loads(done.stdout)["folder"]) == (0, str(out)), done.stderr
    shown = run("targets", "show", str(out), "--abi").stderr
    assert "linear_relu_scale_forward(const scalar_t* x, const scalar_t* linear_weight" in shown


def test_a_refusal_has_status_1_and_its_reason(run, tmp_path):
    file = tmp_path / "mean.py"
    file.write_text((PROBLEMS / "1_Soft_max.py").read_text().replace("dim=1)", "dim=1).mean(1)"))
    done = run("import", "kernelbench", str(file), "--out", str(tmp_path / "out"), "--json")
    assert done.returncode == 1, done.stderr
    assert "degenerate: a constant" in json.loads(done.stdout)["refused"]
    assert not (tmp_path / "out").exists()


def test_an_unknown_kind_of_problem_is_wrong_usage(run):
    done = run("import", "kernelbank", "x.py")
    assert (done.returncode, "choose from kernelbench" in done.stderr) == (2, True)
