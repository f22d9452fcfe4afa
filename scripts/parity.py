"""Compare this project's nanochat with an upstream checkout, number by number.

    git clone https://github.com/karpathy/nanochat /tmp/upstream
    python scripts/parity.py --upstream /tmp/upstream --output bench/results/parity

Upstream makes a mid-training state: it builds a small model, moves its zero projections away from zero and trains. From
that state both sides compute a loss, every gradient and further optimizer steps on the same batches. Both packages have
one name, so each side runs in a process of its own and they exchange files. The trap: AdamW with eps=1e-10 takes the
sign of a gradient at its first step, so a comparison from fresh optimizer state measures luck instead of arithmetic.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

ROOT = Path(__file__).parents[1]
MODEL: dict[str, Any] = {
    "sequence_len": 256,  # windows of 128 in the short layers
    "vocab_size": 1000,  # padded to 1024
    "n_layer": 4,
    "n_head": 2,
    "n_kv_head": 2,
    "n_embd": 128,
    "window_pattern": "SSSL",
}
RATES = {"unembedding": 0.002, "embedding": 0.02, "matrix": 0.005, "scalar": 0.05}
MOMENTUM, WEIGHT_DECAY = 0.95, 0.1
PREPARATION_STEPS, COMPARED_STEPS = 30, 20
PACKED_ROWS, PACKED_LENGTH, PACKED_BATCHES = 4, 128, 50
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MARK = 256  # follows the byte values


def make_batches(count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Inputs and targets (4, 256) that a model can learn: each token is its predecessor plus one of three numbers."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.tensor([1, 17, 300])[torch.randint(3, (count, 4, 257), generator=generator)]
    tokens = steps.cumsum(-1) % MODEL["vocab_size"]
    return [(rows[:, :-1].contiguous(), rows[:, 1:].contiguous()) for rows in tokens]


def take_steps(model: Any, optimizer: Any, batches: list[tuple[Tensor, Tensor]]) -> list[float]:
    losses = []
    for group in optimizer.param_groups:
        if group["kind"] == "muon":
            group["momentum"], group["weight_decay"] = MOMENTUM, WEIGHT_DECAY
    for inputs, targets in batches:
        loss = model(inputs, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return losses


def measure_side(model: Any, optimizer: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Logits, loss and gradients at the given state, then losses and parameters of further steps."""
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    batches = make_batches(COMPARED_STEPS, seed=2)
    with torch.no_grad():
        logits = model(batches[0][0])
    loss = model(*batches[0])
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    optimizer.zero_grad(set_to_none=True)
    losses = take_steps(model, optimizer, batches[:1])
    after_one = {name: value.clone() for name, value in model.state_dict().items()}
    losses += take_steps(model, optimizer, batches[1:])
    return {
        "logits": logits,
        "loss": loss.detach(),
        "gradients": gradients,
        "losses": losses,
        "after_one": after_one,
        "parameters": dict(model.state_dict()),
    }


class ByteTokenizer:
    """Bytes as tokens, behind the interfaces of both loaders."""

    def get_bos_token_id(self) -> int:
        return MARK

    def encode(self, texts: list[str], prepend: int, num_threads: int) -> list[list[int]]:
        return [[prepend, *text.encode()] for text in texts]

    def encode_documents(self, texts: list[str]) -> list[list[int]]:
        return self.encode(texts, MARK, 1)


def run_upstream(folder: Path, dtype: str) -> None:
    """Upstream's side; also writes the state that both start from."""
    # Imported here because the two packages share a name.
    from nanochat.dataloader import tokenizing_distributed_data_loader_bos_bestfit as packed_batches
    from nanochat.gpt import GPT, GPTConfig  # type: ignore[attr-defined]

    def build() -> tuple[Any, Any]:
        with torch.device("meta"):
            model = GPT(GPTConfig(**MODEL))
        model.to_empty(device="cpu")
        torch.manual_seed(42)
        model.init_weights()
        rates = {f"{name}_lr": rate for name, rate in RATES.items()}
        return model, model.setup_optimizer(**rates, weight_decay=WEIGHT_DECAY)

    model, optimizer = build()
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for p in model.parameters():
            if not p.any():
                p.normal_(std=0.02)
    preparation = take_steps(model, optimizer, make_batches(PREPARATION_STEPS, seed=1))
    state = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}
    torch.save({**state, "initial": initial, "losses": preparation}, folder / "state.pt")
    state = torch.load(folder / "state.pt")
    batches = packed_batches(ByteTokenizer(), PACKED_ROWS, PACKED_LENGTH, "train", device="cpu")
    packed = [torch.stack(next(batches)) for _ in range(PACKED_BATCHES)]
    torch.save({**measure_side(*build(), state), "packed": packed}, folder / "upstream.pt")


def run_ours(folder: Path, dtype: str) -> None:
    from nanochat.corpus import open_corpus
    from nanochat.dataloader import PackedLoader
    from nanochat.gpt import GPTConfig, build_model
    from nanochat.ops import Ops
    from nanochat.optim import LearningRates, make_optimizer

    cpu = torch.device("cpu")
    model = build_model(GPTConfig(**MODEL), Ops.eager(), device=cpu, dtype=DTYPES[dtype], seed=42)
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = make_optimizer(model, LearningRates(**RATES))
    state = torch.load(folder / "state.pt")
    corpus = open_corpus(folder, folder / "base_data_climbmix")
    size = {"rows": PACKED_ROWS, "length": PACKED_LENGTH}
    loader = PackedLoader(corpus.train_paths, ByteTokenizer(), **size, device=cpu)
    packed = [torch.stack(loader.next_batch()) for _ in range(PACKED_BATCHES)]
    torch.save({**measure_side(model, optimizer, state), "packed": packed, "initial": initial}, folder / "ours.pt")


SIDES: dict[str, Callable[[Path, str], None]] = {"upstream": run_upstream, "ours": run_ours}


def run_apart(side: str, source: Path, folder: Path, dtype: str) -> None:
    """One side in a process whose `nanochat` is the one at `source`."""
    settings = {"NANOCHAT_DTYPE": dtype, "TORCHDYNAMO_DISABLE": "1", "NANOCHAT_BASE_DIR": str(folder)}
    program = f"import sys, runpy; sys.path.insert(0, {str(source)!r}); sys.argv[0] = {__file__!r}; "
    program += "import nanochat; found = nanochat.__path__[0] if nanochat.__file__ is None else nanochat.__file__; "
    program += f"assert found.startswith({str(source)!r}), found; "
    program += f"runpy.run_path({__file__!r}, run_name='__main__')"
    command = [sys.executable, "-c", program, "--side", side, "--folder", str(folder), "--dtype", dtype]
    subprocess.run(command, check=True, env={**os.environ, **settings}, stdout=sys.stderr)


def write_documents(folder: Path) -> None:
    """Three shards of documents of 1 to 300 letters, for the comparison of packing."""
    generator = torch.Generator().manual_seed(3)
    (folder / "base_data_climbmix").mkdir()
    for shard in range(3):
        lengths = torch.randint(1, 300, (700,), generator=generator).tolist()
        texts = [chr(97 + i % 26) * length for i, length in enumerate(lengths)]
        path = folder / "base_data_climbmix" / f"shard_{shard:05d}.parquet"
        pq.write_table(pa.table({"text": texts}), path, row_group_size=300)


def difference(a: Tensor, b: Tensor) -> float:
    """Norm of the difference over the norm of b; compared in float64."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp_min(1e-300))


def compare(folder: Path) -> dict[str, Any]:
    ours, upstream, start = (torch.load(folder / f"{name}.pt") for name in ("ours", "upstream", "state"))
    gradients = {name: difference(ours["gradients"][name], g) for name, g in upstream["gradients"].items()}
    after_one = {name: difference(ours["after_one"][name], p) for name, p in upstream["after_one"].items()}
    parameters = {name: difference(ours["parameters"][name], p) for name, p in upstream["parameters"].items()}
    origin = {name: value.double() for name, value in start["model"].items()}
    updates = {
        name: difference(ours["parameters"][name].double() - origin[name], p.double() - origin[name])
        for name, p in upstream["parameters"].items()
    }
    assert all(g.any() for g in upstream["gradients"].values()), "a gradient is zero: the comparison would be empty"
    return {
        "same_parameter_names": list(ours["parameters"]) == list(upstream["parameters"]),
        "same_initial_weights": all(ours["initial"][name].equal(p) for name, p in start["initial"].items()),
        "same_packed_batches": all(a.equal(b) for a, b in zip(ours["packed"], upstream["packed"], strict=True)),
        "upstream_preparation_losses": [start["losses"][0], start["losses"][-1]],
        "logits": difference(ours["logits"], upstream["logits"]),
        "loss": difference(ours["loss"], upstream["loss"]),
        "worst_gradient": worst(gradients),
        "losses_of_20_steps": max(abs(a / b - 1) for a, b in zip(ours["losses"], upstream["losses"], strict=True)),
        "worst_parameter_after_1_step": worst(after_one),
        "worst_parameter_after_20_steps": worst(parameters),
        "worst_update_over_20_steps": worst(updates),
        "gradients": gradients,
        "parameters_after_20_steps": parameters,
    }


def worst(differences: dict[str, float]) -> tuple[str, float]:
    return max(differences.items(), key=lambda pair: pair[1])


def write_report(output: Path, upstream: Path, results: dict[str, dict[str, Any]]) -> None:
    commit = subprocess.check_output(["git", "-C", str(upstream), "rev-parse", "HEAD"], text=True).strip()
    about = {
        "upstream_commit": commit,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python scripts/parity.py --upstream PATH --output bench/results/parity",
        "model": MODEL,
        "measure": "norm of the difference over norm of upstream's value",
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "parity.json").write_text(json.dumps({**about, "results": results}, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", type=Path)
    parser.add_argument("--output", type=Path, help="folder for parity.json")
    parser.add_argument("--dtype", choices=sorted(DTYPES))
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        SIDES[arguments.side](arguments.folder, arguments.dtype)
        return
    if arguments.upstream is None:
        parser.error("--upstream is required")
    results = {}
    for dtype in [arguments.dtype] if arguments.dtype else ["float32", "bfloat16"]:
        with tempfile.TemporaryDirectory() as name:
            write_documents(Path(name))
            run_apart("upstream", arguments.upstream.resolve(), Path(name), dtype)
            run_apart("ours", ROOT, Path(name), dtype)
            results[dtype] = compare(Path(name))
        print(json.dumps({name: v for name, v in results[dtype].items() if not isinstance(v, dict)}, indent=1))
    if arguments.output:
        write_report(arguments.output, arguments.upstream, results)


if __name__ == "__main__":
    main()
