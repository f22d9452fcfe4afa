import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from nanochat.checkpoint import latest_step
from nanochat.ops import Ops
from nanochat.trainer import Trainer


def losses(trainer: Trainer, count: int) -> list[float]:
    return [trainer.step().loss for _ in range(count)]


def test_loss_falls(make_trainer):
    trainer = make_trainer()
    before = trainer.evaluate()
    losses(trainer, 30)
    assert trainer.evaluate() < 0.85 * before and trainer.is_finished


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(make_trainer):
    first, same, other = (losses(make_trainer(seed), 3) for seed in (1, 1, 2))
    assert first == same and first != other


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_resumed_run_continues_bitwise(make_trainer, tmp_path: Path, dtype: torch.dtype):
    trainer = make_trainer(dtype=dtype)
    losses(trainer, 4)
    trainer.save(tmp_path)
    resumed = make_trainer(seed=9, dtype=dtype)
    resumed.load(tmp_path, 4)
    assert losses(resumed, 5) == losses(trainer, 5)
    assert resumed.evaluate() == trainer.evaluate() and resumed.smooth_loss == trainer.smooth_loss


def test_evaluating_changes_nothing(make_trainer):
    plain, evaluated = make_trainer(), make_trainer()
    losses(plain, 2), losses(evaluated, 2)
    evaluated.evaluate()
    assert losses(plain, 2) == losses(evaluated, 2)


def test_micro_steps_add_up_to_the_whole_batch(make_trainer, toy_config, cache_dir: Path, data_dir: Path):
    """The gradient of a mean is the mean of gradients; what is left is rounding, after one step from one start."""
    device = torch.device("cpu")
    whole_config = toy_config.override({"batch_rows": 4})
    whole = Trainer(whole_config, Ops.eager(), device, torch.float32, 1, cache_dir, data_dir)
    assert (make_trainer().config.micro_steps, whole.config.micro_steps) == (2, 1)
    assert make_trainer().step().loss == pytest.approx(whole.step().loss, rel=1e-5)


def test_a_checkpoint_has_upstreams_files_and_keys(make_trainer, tmp_path: Path):
    trainer = make_trainer()
    trainer.step()
    trainer.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model_000001.pt", "optim_000001_rank0.pt", "random_000001_rank0.pt", "meta_000001.json"}
    assert latest_step(tmp_path) == 1


def test_a_checkpoint_without_its_meta_file_does_not_exist(make_trainer, tmp_path: Path):
    trainer = make_trainer()
    trainer.save(tmp_path)
    (tmp_path / "meta_000000.json").unlink()
    assert latest_step(tmp_path) is None


def test_a_checkpoint_of_another_corpus_is_refused(make_trainer, tmp_path: Path):
    trainer = make_trainer()
    trainer.save(tmp_path)
    meta = tmp_path / "meta_000000.json"
    meta.write_text(meta.read_text().replace(trainer.corpus.digest, "0" * 64))
    with pytest.raises(ValueError, match="corpus="):
        trainer.load(tmp_path, 0)


def test_a_batch_that_does_not_divide_is_refused(toy_config):
    with pytest.raises(ValueError, match="batch_tokens=500"):
        _ = toy_config.override({"batch_tokens": 500}).micro_steps


def test_an_unknown_override_is_named(toy_config):
    with pytest.raises(ValueError, match="dept"):
        toy_config.override({"dept": 3})


def test_ctrl_c_saves_a_checkpoint_and_exits_130(data_dir: Path, cache_dir: Path, tmp_path: Path):
    folder = tmp_path / "checkpoint"
    command = [sys.executable, "-m", "nanochat.train", "--cache-dir", cache_dir, "--data-dir", data_dir]
    command += ["--checkpoint-dir", folder, "--save-every", "1", "--threads", "1"]
    command += ["--overrides", '{"depth": 1, "vocab_size": 512, "iterations": 100000}']
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    wait_for(lambda: latest_step(folder) is not None, process)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert b"Traceback" not in process.communicate()[1]
    assert (latest_step(folder) or 0) >= 1


def wait_for(is_done, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not is_done():
        assert process.poll() is None and time.monotonic() < deadline, "the process did not get there"
        time.sleep(0.05)
