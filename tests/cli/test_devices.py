"""Commands that train, asked for a GPU where there is none."""

import sys

import pytest
import torch

from kernelsearch.cli import main


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    "arguments",
    [
        ("race", "--compile"),
        ("train", "--kernels", "none"),
        ("bench", "--config", "tiny"),
        ("run", "--repo", ".", "--", "train.py"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_gpu_that_is_not_there_is_named_and_nothing_begins(arguments, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("KERNELSEARCH_HOME", str(tmp_path / "state"))
    name, *options = arguments
    monkeypatch.setattr(sys, "argv", ["kernelsearch", name, "--device", "cuda", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert "no CUDA device" in said.err and not (tmp_path / "state").exists()


def test_a_bench_of_single_kernels_on_a_gpu_says_where_it_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["kernelsearch", "bench", "--device", "cuda"])
    with pytest.raises(SystemExit):
        main()
    assert "bench/gpu_rivals.py" in capsys.readouterr().err
