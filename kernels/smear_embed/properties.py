"""Relations that any honest smear satisfies. Bitwise where the arithmetic cannot differ. Axes as in target.py.

A position keeps its place inside each relation, so a kernel may treat places differently.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
ENTRY = "smear_embed"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES = (
    {"B": 2, "T": 7, "C": 37, "G": 5, "U": 1},
    {"B": 3, "T": 33, "C": 64, "G": 24, "U": 1},
    {"B": 1, "T": 70, "C": 80, "G": 17, "U": 1},
)


def a_row_sees_itself_and_the_one_before(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        others, _ = _draw(sizes, dtype, rng)
        t = int(rng.integers(1, sizes["T"]))
        changed = others["rows"].clone()
        changed[:, t - 1 : t + 1] = inputs["rows"][:, t - 1 : t + 1]
        before = run(ENTRY, sizes, {}, inputs)["out"]
        after = run(ENTRY, sizes, {}, inputs | {"rows": changed})["out"]
        _same(before[:, t], after[:, t], f"position {t} when all but it and its predecessor change", sizes)


def sequences_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        flipped = {"rows": inputs["rows"].flip(0).contiguous()}
        after = run(ENTRY, sizes, {}, inputs | flipped, {"dout": gradients["dout"].flip(0).contiguous()})
        for name in ("out", "drows"):
            _same(before[name].flip(0), after[name], f"{name} after swapping sequences", sizes)


def the_first_row_is_only_normed(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs)["out"][:, 0]
        others = {"gate_weight": -inputs["gate_weight"], "smear": torch.tensor(5.0)}
        _same(before, run(ENTRY, sizes, {}, inputs | others)["out"][:, 0], "row 0 with another gate", sizes)
        limit = 2.0**-18 + (4 + sizes["C"] ** 0.5) * 2.0**-23 if dtype == "float32" else 2.0**-6
        assert ((before.double().square().mean(-1) - 1).abs() <= limit).all(), f"row 0 is not normed, sizes={sizes}"


def half_open_gates_add_half_of_the_factor(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """No weights: every gate is smear / 2; rows that are ones and minus ones are their own norm, nearly."""
    for sizes in SIZES:
        signs = torch.from_numpy(rng.choice([-1.0, 1.0], (sizes["B"], sizes["T"], sizes["C"])))
        inputs = {
            "rows": signs.to(DTYPES[dtype]),
            "gate_weight": torch.zeros(1, sizes["G"]),
            "smear": torch.tensor(0.5),
        }
        out = run(ENTRY, sizes, {}, inputs)["out"].double()
        expected = signs.clone()
        expected[:, 1:] += 0.25 * signs[:, :-1]
        limit = 2.0**-20 if dtype == "float32" else 2.0**-7
        assert ((out - expected).abs() <= limit).all(), f"out for half-open gates, sizes={sizes}"


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs, {"dout": 4 * gradients["dout"]})
        for name in ("drows", "dgate_weight", "dsmear"):
            _same(4 * before[name], after[name], f"{name} for output gradients x 4", sizes)


def without_smear_only_the_factor_learns_of_the_gate(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        got = run(ENTRY, sizes, {}, inputs | {"smear": torch.tensor(0.0)}, gradients)
        assert (got["dgate_weight"] == 0).all(), f"dgate_weight for smear = 0, sizes={sizes}"
        assert got["dsmear"] != 0, f"dsmear for smear = 0, sizes={sizes}"


def every_gating_channel_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs)["out"][:, 1:]
        for channel in {0, sizes["G"] - 1, int(rng.integers(sizes["G"]))}:
            weight = inputs["gate_weight"].clone()
            weight[0, channel] += 8.0
            after = run(ENTRY, sizes, {}, inputs | {"gate_weight": weight})["out"][:, 1:]
            moved = (before != after).any(-1).double().mean()
            assert moved > 0.5, f"the gate ignores channel {channel}, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    a_row_sees_itself_and_the_one_before,
    sequences_are_independent,
    the_first_row_is_only_normed,
    half_open_gates_add_half_of_the_factor,
    gradients_are_linear_in_powers_of_two,
    without_smear_only_the_factor_learns_of_the_gate,
    every_gating_channel_counts,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def normal() -> Tensor:
        return torch.from_numpy(rng.standard_normal((sizes["B"], sizes["T"], sizes["C"]))).to(DTYPES[dtype])

    weight = torch.from_numpy(rng.standard_normal((1, sizes["G"]))).float()
    return {"rows": normal(), "gate_weight": weight, "smear": torch.tensor(0.7)}, {"dout": normal()}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
