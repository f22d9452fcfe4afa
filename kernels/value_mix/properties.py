"""Relations that any honest mix of values satisfies, bitwise where arithmetic cannot differ. Axes as in target.py."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
ENTRY = "value_mix"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES = (
    {"N": 7, "K": 2, "D": 5, "G": 3, "V": 11, "C": 10},
    {"N": 40, "K": 3, "D": 16, "G": 12, "V": 9, "C": 48},
    {"N": 33, "K": 1, "D": 70, "G": 17, "V": 200, "C": 70},
)
GRADIENTS = ("dgate_input", "dgate_weight", "dtable")


def half_open_gates_add_one_and_a_half_rows(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Values in eighths, so that 3/2 of them is exact in bfloat16."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        inputs["table"] = torch.from_numpy(rng.integers(-16, 17, inputs["table"].shape) / 8).to(DTYPES[dtype])
        inputs |= {"v": torch.zeros_like(inputs["v"]), "gate_weight": torch.zeros_like(inputs["gate_weight"])}
        rows = inputs["table"][inputs["tokens"]].view_as(inputs["v"])
        _same(run(ENTRY, sizes, {}, inputs)["mixed"], 1.5 * rows, "half-open gates", sizes)


def closed_gates_add_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        inputs["gate_input"] = torch.full_like(inputs["gate_input"], 200.0)
        inputs["gate_weight"] = torch.full_like(inputs["gate_weight"], -1.0)
        got = run(ENTRY, sizes, {}, inputs, gradients)
        _same(got["mixed"], inputs["v"], "mixed behind closed gates", sizes)
        assert (got["dtable"].double().abs() <= 1e-30).all(), f"dtable behind closed gates, sizes={sizes}"


def positions_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        n = int(rng.integers(sizes["N"]))
        others |= {"gate_weight": inputs["gate_weight"], "table": inputs["table"]}
        for name in ("v", "gate_input", "tokens"):
            others[name][n] = inputs[name][n]
        others["order"] = torch.argsort(others["tokens"], stable=True)
        other_gradients["dmixed"][n] = gradients["dmixed"][n]
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, others, other_gradients)
        for name in ("mixed", "dgate_input"):
            _same(before[name][n], after[name][n], f"{name} of position {n} when others change", sizes)


def rows_without_tokens_learn_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        absent = torch.ones(sizes["V"], dtype=torch.bool)
        absent[inputs["tokens"]] = False
        dtable = run(ENTRY, sizes, {}, inputs, gradients)["dtable"]
        assert (dtable[absent] == 0).all(), f"dtable of a row without tokens, sizes={sizes}"
        assert (dtable[~absent] != 0).any(1).all(), f"dtable of a row with tokens, sizes={sizes}"


def a_row_sums_over_its_tokens(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Gates of 3/2 and small integers, whose sums are exact in float32 and, for few tokens, in bfloat16."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        inputs["gate_weight"] = torch.zeros_like(inputs["gate_weight"])
        whole = torch.from_numpy(rng.integers(-1, 2, gradients["dmixed"].shape)).double()
        got = run(ENTRY, sizes, {}, inputs, {"dmixed": whole.to(DTYPES[dtype])})["dtable"]
        expected = torch.zeros(got.shape, dtype=torch.float64).index_add_(0, inputs["tokens"], 1.5 * whole.flatten(1))
        _same(got, expected.to(DTYPES[dtype]), "dtable of small integers", sizes)


def the_order_is_only_a_hint(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        almost = inputs["order"].clone()
        almost[0] = almost[-1]
        others = (torch.arange(sizes["N"]), inputs["order"].flip(0), torch.zeros(sizes["N"], dtype=torch.int64), almost)
        for order in others:
            after = run(ENTRY, sizes, {}, inputs | {"order": order.contiguous()}, gradients)
            for name in GRADIENTS:
                _same(before[name], after[name], f"{name} with another order", sizes)


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs, {"dmixed": 4 * gradients["dmixed"]})
        for name in GRADIENTS:
            _same(4 * before[name], after[name], f"{name} for output gradients x 4", sizes)


def every_gating_channel_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs)["mixed"]
        for channel in {0, sizes["G"] - 1, int(rng.integers(sizes["G"]))}:
            changed = inputs["gate_input"].clone()
            changed[:, channel] += 8.0
            after = run(ENTRY, sizes, {}, inputs | {"gate_input": changed})["mixed"]
            moved = (before != after).flatten(1).any(1).double().mean()
            assert moved > 0.5, f"the gate ignores channel {channel}, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    half_open_gates_add_one_and_a_half_rows,
    closed_gates_add_nothing,
    positions_are_independent,
    rows_without_tokens_learn_nothing,
    a_row_sums_over_its_tokens,
    the_order_is_only_a_hint,
    gradients_are_linear_in_powers_of_two,
    every_gating_channel_counts,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def normal(*axes: str) -> Tensor:
        return torch.from_numpy(rng.standard_normal([sizes[axis] for axis in axes])).to(DTYPES[dtype])

    tokens = torch.from_numpy(rng.integers(0, sizes["V"], sizes["N"]))
    inputs = {
        "v": normal("N", "K", "D"),
        "gate_input": normal("N", "G"),
        "gate_weight": normal("K", "G").float(),
        "table": normal("V", "C"),
        "tokens": tokens,
        "order": torch.argsort(tokens, stable=True),
    }
    return inputs, {"dmixed": normal("N", "K", "D")}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
