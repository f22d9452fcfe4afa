from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from nanochat.config import RunConfig, named_config
from nanochat.corpus import read_library, split_documents
from nanochat.gpt import GPT, GPTConfig, build_model
from nanochat.ops import Ops
from nanochat.trainer import Trainer

CPU = torch.device("cpu")
TOY_OVERRIDES = {
    "depth": 2,
    "head_dim": 32,
    "sequence_len": 64,
    "vocab_size": 512,
    "batch_rows": 2,
    "batch_tokens": 256,
    "iterations": 30,
    "warmup_steps": 2,
    "eval_batches": 2,
    "eval_every": 10,
    "target_bpb": None,
    "rates": {"embedding": 0.05, "unembedding": 0.008, "matrix": 0.01},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Toy tensors gain nothing from threads, and threads that wait for each other stall on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two training shards and one for validation, from a few of Python's own modules."""
    import email

    folder = tmp_path_factory.mktemp("shards")
    texts = [piece for text in read_library(Path(email.__file__).parent).values() for piece in split_documents(text)]
    for i in range(3):
        table = pa.table({"text": texts[i::3]})
        pq.write_table(table, folder / f"shard_{i}.parquet", row_group_size=100)
    return folder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def toy_config() -> RunConfig:
    return named_config("tiny").override(TOY_OVERRIDES)


@pytest.fixture
def make_trainer(toy_config: RunConfig, cache_dir: Path, data_dir: Path):
    def make(seed: int = 1, ops: Ops | None = None, dtype: torch.dtype = torch.float32) -> Trainer:
        return Trainer(toy_config, ops or Ops.eager(), CPU, dtype, seed, cache_dir, data_dir)

    return make


@pytest.fixture
def small_config() -> GPTConfig:
    """Four layers with windows SSSL, of which the short ones hide something: 128 of 256 tokens."""
    return GPTConfig(256, vocab_size=300, n_layer=4, n_head=2, n_kv_head=2, n_embd=64, window_pattern="SSSL")


@pytest.fixture
def fresh_model(small_config: GPTConfig) -> GPT:
    return build_model(small_config, Ops.eager(), device=CPU, dtype=torch.float32, seed=3)


@pytest.fixture
def live_model(fresh_model: GPT) -> GPT:
    """A model in which every parameter matters: the zeros of initialisation are moved away from."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for p in fresh_model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    return fresh_model
