"""One training step with every kernel that ships: what it launches, what it keeps, and how it leaves the process."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kernelsearch.dispatch.factory import promoted
from nanochat.config import named_config
from nanochat.gpt import GPTConfig, build_model
from nanochat.ops import Ops
from nanochat.optim import make_optimizer

CONFIG = GPTConfig(sequence_len=64, vocab_size=512, n_layer=4, n_head=2, n_kv_head=2, n_embd=64, window_pattern="SL")
ROWS = 2


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    """(Ops, report) of the library's float32 kernels, promoted or not."""
    argument = {"state_dir": str(tmp_path_factory.mktemp("state")), "dtype": "float32", "which": "accepted"}
    fields, report = promoted(argument)
    return replace(Ops.eager(), **fields), report


def flushes_to_zero() -> bool:
    return not (torch.full((64,), 1e-39) * 0.5).all()


def step(ops: Ops) -> float:
    """Loss of one step of the model under `ops`; its optimizer has stepped."""
    model = build_model(CONFIG, ops, device=torch.device("cpu"), dtype=torch.float32, seed=1)
    optimizer = make_optimizer(model, named_config("tiny").rates)
    tokens = torch.from_numpy(
        np.random.default_rng(0).integers(CONFIG.vocab_size, size=(ROWS, CONFIG.sequence_len + 1))
    )
    loss = model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    loss.backward()
    optimizer.set_schedule(named_config("tiny").schedule, 0)
    optimizer.step()
    return loss.item()


def saved_bytes(ops: Ops) -> int:
    """What autograd keeps between forward and backward, each storage once, parameters left out."""
    model = build_model(CONFIG, ops, device=torch.device("cpu"), dtype=torch.float32, seed=1)
    own = {parameter.untyped_storage().data_ptr() for parameter in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    tokens = torch.arange(ROWS * CONFIG.sequence_len).view(ROWS, -1) % CONFIG.vocab_size
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(tokens, tokens)
    assert loss.isfinite()
    return sum(kept.values())


def test_shipped_kernels_run_and_nothing_falls_back(kernels):
    ops, report = kernels
    assert abs(step(ops) - step(Ops.eager())) < 1e-4
    found = report()["kernels"]
    assert not {entry: kernel["fallbacks"] for entry, kernel in found.items() if kernel["fallbacks"]}
    idle = {entry for entry, kernel in found.items() if not kernel["launches"]["forward"]}
    assert idle <= {"relu2", "softcap_cross_entropy", "pack_documents"}  # the first two are spanned here


def test_a_step_leaves_the_process_as_it_found_it(kernels):
    ops, _ = kernels
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_num_threads(), flushes_to_zero(), str(np.random.get_state()), torch.get_rng_state().tolist()
    step(ops)
    after = torch.get_num_threads(), flushes_to_zero(), str(np.random.get_state()), torch.get_rng_state().tolist()
    assert before == after and not after[1]
    libraries = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".so" in line}
    ours = [Path(name) for name in libraries if "/cache/cpp/" in name]
    assert ours and not [file for file in ours if b"set_fast_math" in file.read_bytes()]


def test_kernels_keep_no_more_for_the_backward_than_eager_does(kernels):
    ops, _ = kernels
    assert saved_bytes(ops) <= saved_bytes(Ops.eager())
