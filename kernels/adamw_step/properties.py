"""Relations that any honest AdamW step satisfies. Bitwise where the arithmetic cannot differ.

Elements keep their places inside each relation, so a kernel may treat tails differently.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ENTRY = "adamw_step"
LENGTHS = (37, 128, 5003)
RATES = {"step": 3, "lr": 0.03125, "beta1": 0.8, "beta2": 0.96, "eps": 1e-10, "weight_decay": 0.125}


def a_rate_of_zero_leaves_the_weights(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for E in LENGTHS:
        inputs = _draw(E, dtype, rng)
        got = run(ENTRY, {"E": E}, RATES | {"lr": 0.0}, inputs)
        _same(got["p"], inputs["p"], "p for lr = 0", E)
        assert not torch.equal(got["m"], inputs["m"]), f"m stands still for lr = 0, E={E}"


def the_rate_does_not_reach_the_moments(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for E in LENGTHS:
        inputs = _draw(E, dtype, rng)
        slow = run(ENTRY, {"E": E}, RATES, inputs)
        fast = run(ENTRY, {"E": E}, RATES | {"lr": 0.5, "weight_decay": 0.0, "eps": 1e-6}, inputs)
        for name in ("m", "v"):
            _same(slow[name], fast[name], f"{name} for another rate", E)


def without_gradients_only_decay_remains(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for E in LENGTHS:
        inputs = _draw(E, dtype, rng)
        for name in ("g", "m", "v"):
            inputs[name] = torch.zeros_like(inputs[name])
        got = run(ENTRY, {"E": E}, RATES, inputs)
        exact = inputs["p"].double() * (1 - RATES["lr"] * RATES["weight_decay"])
        unit = 2.0**-23 if dtype == "float32" else 2.0**-8
        assert ((got["p"].double() - exact).abs() <= unit * exact.abs()).all(), f"p is not merely decayed, E={E}"
        for name in ("m", "v"):
            _same(got[name], inputs[name], f"{name} without gradients", E)


def opposite_inputs_give_opposite_weights(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for E in LENGTHS:
        inputs = _draw(E, dtype, rng)
        got = run(ENTRY, {"E": E}, RATES, inputs)
        opposite = run(ENTRY, {"E": E}, RATES, {n: t if n == "v" else -t for n, t in inputs.items()})
        for name in ("p", "m"):
            _same(got[name], -opposite[name], f"{name} of opposite inputs", E)
        _same(got["v"], opposite["v"], "v of opposite inputs", E)


def elements_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for E in LENGTHS:
        inputs, others = _draw(E, dtype, rng), _draw(E, dtype, rng)
        kept = torch.from_numpy(rng.random(E) < 0.3)
        before = run(ENTRY, {"E": E}, RATES, inputs)
        after = run(ENTRY, {"E": E}, RATES, {n: torch.where(kept, t, others[n]) for n, t in inputs.items()})
        for name in ("p", "m", "v"):
            _same(before[name][kept], after[name][kept], f"{name} when other elements change", E)


def the_unit_of_the_gradient_cancels(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Powers of two commute with every rounding: gradients x 4, v x 16 and eps x 4 give the same weights."""
    for E in LENGTHS:
        inputs = _draw(E, dtype, rng)
        scaled = inputs | {"g": 4 * inputs["g"], "m": 4 * inputs["m"], "v": 16 * inputs["v"]}
        eps = 2.0**-20
        got = run(ENTRY, {"E": E}, RATES | {"eps": eps}, inputs)
        other = run(ENTRY, {"E": E}, RATES | {"eps": 4 * eps}, scaled)
        _same(got["p"], other["p"], "p in another unit of the gradient", E)
        _same(4 * got["m"], other["m"], "m in another unit of the gradient", E)
        _same(16 * got["v"], other["v"], "v in another unit of the gradient", E)


def the_first_step_has_the_length_of_the_rate(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """From rest, bias correction makes the first step lr sign(g), whatever the betas."""
    for E in LENGTHS:
        inputs = _draw(E, dtype, rng)
        for name in ("p", "m", "v"):
            inputs[name] = torch.zeros_like(inputs[name])
        rates = RATES | {"step": 1, "beta1": float(rng.uniform(0.5, 0.95)), "beta2": float(rng.uniform(0.9, 0.999))}
        p = run(ENTRY, {"E": E}, rates, inputs)["p"].double()
        exact = -rates["lr"] * inputs["g"].double().sign()
        limit = rates["lr"] * (2.0**-20 if dtype == "float32" else 2.0**-7)
        far = inputs["g"].abs() > 0.01
        assert ((p - exact)[far].abs() <= limit).all(), f"the first step is not lr sign(g), E={E}"


def twenty_steps_follow_the_exact_ones(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Every step starts from the states that the last one left, at its own `step`; gradients drift.

    Limit of a step: a rounding or two of p and, through sqrt(v) and both corrections, eight of the step's length.
    """
    unit = 2.0**-24 if dtype == "float32" else 2.0**-8
    rates = torch.tensor([RATES[n] for n in ("lr", "beta1", "beta2", "eps", "weight_decay")], dtype=torch.float32)
    lr, beta1, beta2, eps, decay = rates.tolist()
    state, drift = _draw(LENGTHS[0], dtype, rng), _draw(LENGTHS[0], dtype, rng)["g"]
    for step in range(1, 21):
        state["g"] = (0.9 * state["g"] + 0.3 * drift).to(drift.dtype)
        exact = {name: value.double() for name, value in state.items()}
        m = exact["m"] + (1 - beta1) * (exact["g"] - exact["m"])
        v = exact["v"] + (1 - beta2) * (exact["g"] ** 2 - exact["v"])
        length = lr / (1 - beta1**step) * m / ((v / (1 - beta2**step)).sqrt() + eps)
        got = run(ENTRY, {"E": LENGTHS[0]}, RATES | {"step": step}, state)
        wrong = (got["p"].double() - (exact["p"] * (1 - lr * decay) - length)).abs()
        limit = unit * (2 * exact["p"].abs() + length.abs()) + 8 * 2.0**-24 * (length.abs() + lr)
        assert (wrong <= limit).all(), f"p is off in step {step} of a sequence, E={LENGTHS[0]}"
        state |= got


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    a_rate_of_zero_leaves_the_weights,
    the_rate_does_not_reach_the_moments,
    without_gradients_only_decay_remains,
    opposite_inputs_give_opposite_weights,
    elements_are_independent,
    the_unit_of_the_gradient_cancels,
    the_first_step_has_the_length_of_the_rate,
    twenty_steps_follow_the_exact_ones,
)


def _draw(E: int, dtype: str, rng: np.random.Generator) -> dict[str, Tensor]:
    p, g, m, noise = (torch.from_numpy(x).to(DTYPES[dtype]) for x in rng.standard_normal((4, E)))
    return {"p": p, "g": g, "m": m, "v": noise.square()}


def _same(a: Tensor, b: Tensor, what: str, E: int) -> None:
    assert torch.equal(a, b), f"{what} differs, E={E}"
