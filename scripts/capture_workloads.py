"""Writes the timed shapes of kernels/*/workloads.json from nanochat's own training step.

    python scripts/capture_workloads.py          rewrite the files
    python scripts/capture_workloads.py --check  status 1 if a file is not what a step would give now

Optimizer steps of each configuration run on the meta device (shapes without memory) with ops that write down how they
are called: one step without the optional ops, which hide the ops that they span, and one with them. Edge shapes in the
files are kept, and so are the workloads of a target that a step does not call. d12 and d20 are taken with one row a
forward pass: their real batch is for a GPU. d4-32k is d4 with the vocabulary of d12: tables of 32768 rows as narrow as
d4's, which no other configuration has and which its race is judged on.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.dispatch.call import lead, merge_leading
from kernelsearch.spec import Entry, TargetFolder, target_names
from nanochat.config import RunConfig, named_config
from nanochat.gpt import GPT
from nanochat.ops import Ops
from nanochat.optim import make_optimizer

ROOT = Path(__file__).resolve().parent.parent / "kernels"
GROUPS = {"tiny": None, "d4": None, "d4-32k": None, "d12": 1, "d20": 1}
OPTIONAL = frozenset(field.name for field in fields(Ops) if getattr(Ops(), field.name) is None)
SMALLEST_TENSOR = 2048

Key = tuple[str, tuple[tuple[str, int], ...], tuple[tuple[str, int], ...]]


class Recorder:
    """Stands in for a target's kernel: notes sizes and parameters, returns meta tensors of the right shapes."""

    def __init__(self, folder: TargetFolder) -> None:
        self.folder = folder
        self.counted: frozenset[str] = frozenset()  # the entries whose calls this step is recorded for
        self.calls: Counter[Key] = Counter()
        self.parameters: dict[Key, dict[str, float]] = {}

    def op(self, entry: Entry) -> Callable[..., Any]:
        adapt = getattr(self.folder.module("op"), entry.name)
        return lambda *arguments, **parameters: adapt(self._kernel(entry), *arguments, **parameters)

    def _kernel(self, entry: Entry) -> Callable[..., Any]:
        def kernel(*tensors: Tensor, **parameters: float) -> Any:
            sizes: dict[str, int] = {}
            shapes, leading, _ = merge_leading(entry.inputs, tuple(tensor.shape for tensor in tensors))
            for spec, shape in zip(entry.inputs, shapes, strict=True):
                sizes |= dict(zip(spec.axes, shape, strict=True))
            if entry.name in self.counted and max(tensor.numel() for tensor in tensors) >= SMALLEST_TENSOR:
                key = (entry.name, tuple((axis.name, sizes[axis.name]) for axis in entry.axes), _integers(parameters))
                self.calls[key] += 1
                self.parameters.setdefault(key, parameters)
            made = [_result(lead(spec, spec.shape(sizes), leading), tensors) for spec in entry.outputs]
            return None if not made else made[0] if len(made) == 1 else tuple(made)

        return kernel


def _integers(parameters: dict[str, float]) -> tuple[tuple[str, int], ...]:
    """What may change a call's cost; a learning rate does not, so such calls are one workload."""
    return tuple(sorted((name, value) for name, value in parameters.items() if isinstance(value, int)))


def _result(shape: tuple[int, ...], tensors: tuple[Tensor, ...]) -> Tensor:
    """A meta tensor through which gradients flow to every floating-point input."""
    anchor = sum(t.float().sum() for t in tensors if t.is_floating_point())
    return torch.empty(shape, device="meta") + anchor


def record_steps(config: RunConfig, recorders: dict[str, Recorder]) -> None:
    """A step without the optional ops, for all others, and one with them, for them alone."""
    entries = {e.name: (r, e) for r in recorders.values() for e in r.folder.target.entries}
    for counted in (entries.keys() - OPTIONAL, entries.keys() & OPTIONAL):
        for recorder in recorders.values():
            recorder.counted = frozenset(counted)
        bound = {name: r.op(e) for name, (r, e) in entries.items() if name in counted or name not in OPTIONAL}
        record_step(config, Ops(**bound))


def record_step(config: RunConfig, ops: Ops) -> None:
    """One optimizer step, every micro-step of it."""
    with torch.device("meta"):
        model = GPT(config.model, ops)
        tokens = torch.zeros(config.batch_rows, config.sequence_len, dtype=torch.int64)
        for _ in range(config.micro_steps):
            model(tokens, tokens).backward()
    optimizer = make_optimizer(model, config.rates)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.set_schedule(config.schedule, config.schedule.warmup_steps)
    optimizer.step()


def name_workloads(group: str, recorder: Recorder) -> list[dict[str, Any]]:
    """Entries by name; where one has several workloads, what tells them apart is part of the name."""
    rows = []
    for key, count in sorted(recorder.calls.items()):
        entry, sizes, integers = key
        others = [other for other in recorder.calls if other[0] == entry]
        varying = [k for k, v in (*sizes, *integers) if any(dict((*s, *i))[k] != v for _, s, i in others)]
        numbers = dict((*sizes, *integers))
        parameters = sorted(recorder.parameters[key].items())
        suffix = "".join(f"-{name}{numbers[name]}" for name in varying)
        rows.append(
            {
                "name": f"{group}/{entry}{suffix}",
                "entry": entry,
                "sizes": dict(sizes),
                "parameters": {k: v if isinstance(v, int) else float(f"{v:.6g}") for k, v in parameters},
                "calls": count,
            }
        )
    return rows


def captured_workloads() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in target_names(ROOT)}
    for group, rows in GROUPS.items():
        config = named_config(group)
        if rows is not None:
            config = replace(config, batch_rows=rows, batch_tokens=rows * config.sequence_len)
        recorders = {name: Recorder(TargetFolder(ROOT / name)) for name in found}
        record_steps(config, recorders)
        for name, recorder in recorders.items():
            found[name] += name_workloads(group, recorder)
    return found


def render(workloads: list[dict[str, Any]], edges: list[dict[str, Any]]) -> str:
    """One workload a line."""
    parts = []
    for title, items in (("workloads", workloads), ("edges", edges)):
        lines = ",\n".join(f"    {json.dumps(item)}" for item in items)
        parts.append(f'  "{title}": [\n{lines}\n  ]')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    is_checked = parser.parse_args().check
    stale = []
    for name, workloads in captured_workloads().items():
        file = ROOT / name / "workloads.json"
        kept = json.loads(file.read_text())
        text = render(workloads or kept["workloads"], kept["edges"])
        if file.read_text() != text:
            stale.append(name)
            if not is_checked:
                file.write_text(text)
    print(f"{'stale' if is_checked else 'rewritten'}: {', '.join(stale) or 'none'}")
    return 1 if is_checked and stale else 0


if __name__ == "__main__":
    sys.exit(main())
