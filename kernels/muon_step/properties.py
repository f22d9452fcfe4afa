"""Relations that any honest Muon step satisfies. Bitwise where the arithmetic cannot differ."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
ENTRY = "muon_step"
SHAPES = ((1, 8, 8), (2, 40, 10), (3, 17, 33), (1, 33, 70))
RATES = {"lr": 0.0625, "momentum": 0.9, "beta2": 0.75, "weight_decay": 0.5}
STATE = ("momentum_buffer", "second_moment")


def a_rate_of_zero_leaves_the_weights(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        got = run(ENTRY, sizes, RATES | {"lr": 0.0}, inputs)
        _same(got["params"], inputs["params"], "params for lr = 0", sizes)
        assert not torch.equal(got["momentum_buffer"], inputs["momentum_buffer"]), f"the momentum stands still, {sizes}"


def rate_decay_and_weights_do_not_reach_the_state(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        one = run(ENTRY, sizes, RATES, inputs)
        other = run(ENTRY, sizes, RATES | {"lr": 0.5, "weight_decay": 0.0}, inputs | {"params": 2 * inputs["params"]})
        for name in STATE:
            _same(one[name], other[name], f"{name} for other rates and weights", sizes)


def opposite_inputs_give_opposite_weights(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        got = run(ENTRY, sizes, RATES, inputs)
        opposite = run(ENTRY, sizes, RATES, {n: t if n == "second_moment" else -t for n, t in inputs.items()})
        for name in ("params", "momentum_buffer"):
            _same(got[name], -opposite[name], f"{name} of opposite inputs", sizes)
        _same(got["second_moment"], opposite["second_moment"], "second_moment of opposite inputs", sizes)


def without_gradients_only_decay_remains(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        inputs |= {name: torch.zeros_like(inputs[name]) for name in ("grads", "momentum_buffer")}
        got = run(ENTRY, sizes, RATES, inputs)
        exact = inputs["params"] * (1 - RATES["lr"] * RATES["weight_decay"])
        assert ((got["params"] - exact).abs() <= 2.0**-22 * exact.abs()).all(), (
            f"params are not merely decayed, {sizes}"
        )


def weights_decay_only_where_the_update_agrees(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        free = run(ENTRY, sizes, RATES | {"weight_decay": 0.0}, inputs)["params"]
        held = run(ENTRY, sizes, RATES, inputs)["params"]
        p, step = inputs["params"], inputs["params"] - free
        clear = (step.abs() > 1e-3 * RATES["lr"]) & (p.abs() > 1e-3)
        against = clear & (step * p < 0)
        _same(held[against], free[against], "params where update and weight disagree", sizes)
        decayed = free - RATES["lr"] * RATES["weight_decay"] * p
        along = clear & (step * p > 0)
        limit = 2.0**-21 * (p.abs() + step.abs())
        assert ((held - decayed).abs() <= limit)[along].all(), f"agreeing weights do not decay in full, {sizes}"


def an_update_has_the_norm_of_an_orthogonal_matrix(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """From weights of zero; evening out keeps the norm."""
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        inputs["params"] = torch.zeros_like(inputs["params"])
        update = run(ENTRY, sizes, RATES, inputs)["params"].double() / RATES["lr"]
        norms = update.norm(dim=(-2, -1)) / min(sizes["M"], sizes["N"]) ** 0.5
        assert ((norms - 1).abs() <= 1e-4).all(), f"an update is {norms.tolist()} times as long as it must be, {sizes}"


def row_scales_of_a_gradient_cancel(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Powers of two in the rows of gradient and momentum vanish when rows are equilibrated, but for roundings."""
    for sizes in _sizes():
        inputs = _draw(sizes, rng)
        scale = torch.from_numpy(2.0 ** rng.integers(0, 6, (sizes["K"], sizes["M"], 1))).float()
        scaled = inputs | {n: inputs[n] * scale for n in ("grads", "momentum_buffer")}
        one, other = (run(ENTRY, sizes, RATES, given)["params"] for given in (inputs, scaled))
        change = (one - inputs["params"]).norm()
        assert (one - other).norm() <= 1e-2 * change, f"the update depends on the scale of rows, {sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    a_rate_of_zero_leaves_the_weights,
    rate_decay_and_weights_do_not_reach_the_state,
    opposite_inputs_give_opposite_weights,
    without_gradients_only_decay_remains,
    weights_decay_only_where_the_update_agrees,
    an_update_has_the_norm_of_an_orthogonal_matrix,
    row_scales_of_a_gradient_cancel,
)


def _sizes() -> list[dict[str, int]]:
    return [{"K": K, "M": M, "N": N, "S": max(M, N)} for K, M, N in SHAPES]


def _draw(sizes: dict[str, int], rng: np.random.Generator) -> dict[str, Tensor]:
    K, M, N, S = (sizes[axis] for axis in "KMNS")
    p, g, m = (torch.from_numpy(x).float() for x in rng.standard_normal((3, K, M, N)))
    second = torch.from_numpy((0.5 + rng.random((K, S))) / S).float()
    return {"params": p, "grads": g, "momentum_buffer": m, "second_moment": second}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, {sizes}"
