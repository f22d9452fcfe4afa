"""Relations that any honest rotary norm satisfies. Bitwise where the arithmetic cannot differ.

A position keeps its place inside each relation, so a kernel may treat places differently. Axes as in target.py.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
ENTRY = "rope_qknorm"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES = (
    {"B": 2, "T": 7, "H": 3, "K": 1, "D": 24, "F": 12, "U": 1},
    {"B": 1, "T": 33, "H": 2, "K": 2, "D": 64, "F": 32, "U": 1},
    {"B": 3, "T": 5, "H": 1, "K": 4, "D": 136, "F": 68, "U": 1},
)
RESULTS = ("q_out", "k_out", "dq", "dk")
SQUARE = 1.2**2


def opposite_inputs_give_opposite_outputs(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | _scaled(_heads(inputs), -1), _scaled(gradients, -1))
        for name in RESULTS:
            _same(-before[name], after[name], f"{name} of opposite inputs", sizes)


def positions_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        t = int(rng.integers(sizes["T"]))
        for source, other in ((inputs, others), (gradients, other_gradients)):
            for name, value in source.items():
                other[name][:, t] = value[:, t]
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, others, other_gradients)
        for name in RESULTS:
            _same(before[name][:, t], after[name][:, t], f"{name} of position {t} when others change", sizes)


def queries_and_keys_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        new_keys = gradients | {"dk_out": other_gradients["dk_out"]}
        after = run(ENTRY, sizes, {}, inputs | {"k": others["k"]}, new_keys)
        for name in ("q_out", "dq"):
            _same(before[name], after[name], f"{name} when keys change", sizes)


def batch_order_is_immaterial(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, name, before, after in _flipped(run, dtype, rng, 0):
        _same(before, after, f"{name} after swapping batch rows", sizes)


def head_order_is_immaterial(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """To roundings of the head's largest: taken alone or with its neighbours, a head may fuse other products."""
    for sizes, name, before, after in _flipped(run, dtype, rng, 2):
        unit = 2.0**-20 if dtype == "float32" else 2.0**-7
        far = (before.double() - after.double()).abs() > unit * before.double().abs().amax(-1, keepdim=True)
        assert not far.any(), f"{name} after swapping heads differs, sizes={sizes}"


def _flipped(
    run: Run, dtype: str, rng: np.random.Generator, axis: int
) -> Iterator[tuple[dict[str, int], str, Tensor, Tensor]]:
    """Sizes, a result's name, the result flipped along `axis`, and the result of flipped inputs."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        flipped = {name: value.flip(axis) for name, value in _heads(inputs).items()}
        after = run(ENTRY, sizes, {}, inputs | flipped, {name: g.flip(axis) for name, g in gradients.items()})
        for name in RESULTS:
            yield sizes, name, before[name].flip(axis), after[name]


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs, _scaled(gradients, 4))
        for name in ("dq", "dk"):
            _same(4 * before[name], after[name], f"{name} for output gradients x 4", sizes)


def the_length_of_a_head_cancels(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Beside heads of length 1e4 the epsilon is 1e-15: nothing. One rounding of slack for its way into the sum."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        inputs |= _scaled(_heads(inputs), 2.0**14)
        before = run(ENTRY, sizes, {}, inputs)
        after = run(ENTRY, sizes, {}, inputs | _scaled(_heads(inputs), 2.0**6))
        for name in ("q_out", "k_out"):
            _near(before[name], after[name], 2.0**-21, 2.0**-7, f"{name} of longer heads", sizes, dtype)


def outputs_have_one_length(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """mean(out^2) = 1.2^2, whatever the tables are."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        inputs["cos"], inputs["sin"] = 2 * inputs["sin"], 2 * inputs["cos"] + 0.25
        got = run(ENTRY, sizes, {}, inputs)
        limit = 2.0**-18 + (4 + sizes["D"] ** 0.5) * 2.0**-23 if dtype == "float32" else 2.0**-6
        for name in ("q_out", "k_out"):
            far = (got[name].double().square().mean(-1) - SQUARE).abs() > limit * SQUARE
            assert not far.any(), f"mean square of {name} is not {SQUARE:.2f}, sizes={sizes}"


def every_channel_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """One large channel, whichever it is, shrinks every other pair of its head: no tail or tile edge is left out."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs)
        D, F = sizes["D"], sizes["F"]
        channels = rng.permutation([c for c in (0, 7, 8, 15, 16, F - 1, F, F + 16, D - 1) if c < D])[: sizes["T"]]
        for name, out in (("q", "q_out"), ("k", "k_out")):
            changed = inputs[name].clone()
            changed[:, torch.arange(len(channels)), :, torch.from_numpy(channels)] = 1e4
            after = run(ENTRY, sizes, {}, inputs | {name: changed})[out].double().abs()
            for t, channel in enumerate(channels):
                others = [c for c in range(D) if c % F != channel % F]
                shrunk = after[:, t, :, others] <= 0.1 * before[out].double().abs()[:, t, :, others]
                assert shrunk.all(), f"{out} ignores channel {channel}, sizes={sizes}"


def a_quarter_turn_exchanges_the_halves(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """cos = 0 and sin = 1 make (z, -x) of (x, z): the turn is by minus the angle."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        still = inputs | {"cos": torch.ones_like(inputs["cos"]), "sin": torch.zeros_like(inputs["sin"])}
        turned = inputs | {"cos": still["sin"], "sin": still["cos"]}
        exchanged = {}
        for name, value in _heads(inputs).items():
            left, right = value.chunk(2, dim=-1)
            exchanged[name] = torch.cat([right, -left], dim=-1)
        before, after = run(ENTRY, sizes, {}, still | exchanged), run(ENTRY, sizes, {}, turned)
        for name in ("q_out", "k_out"):
            _near(before[name], after[name], 2.0**-20, 2.0**-7, f"{name} of a quarter turn", sizes, dtype)


def zero_heads_stay_zero(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        for value in _heads(inputs).values():
            value[:, ::2] = 0
        got = run(ENTRY, sizes, {}, inputs, gradients)
        for name in ("q_out", "k_out"):
            assert (got[name][:, ::2] == 0).all(), f"{name} of a zero head, sizes={sizes}"


def gradients_leave_the_length_of_a_head_alone(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """sum x dx = 0 up to the epsilon, because the output does not change when x is scaled."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        got = run(ENTRY, sizes, {}, inputs, gradients)
        unit = (8 + sizes["D"] ** 0.5) * 2.0**-22 + 2.0**-20 if dtype == "float32" else 2.0**-6
        for name in ("q", "k"):
            products = inputs[name].double() * got[f"d{name}"].double()
            far = products.sum(-1).abs() > unit * products.abs().sum(-1)
            assert not far.any(), f"d{name} has a part along {name}, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    opposite_inputs_give_opposite_outputs,
    positions_are_independent,
    queries_and_keys_are_independent,
    batch_order_is_immaterial,
    head_order_is_immaterial,
    gradients_are_linear_in_powers_of_two,
    the_length_of_a_head_cancels,
    outputs_have_one_length,
    every_channel_counts,
    a_quarter_turn_exchanges_the_halves,
    zero_heads_stay_zero,
    gradients_leave_the_length_of_a_head_alone,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(DTYPES[dtype])

    shapes = {name: [sizes[axis] for axis in axes] for name, axes in (("q", "BTHD"), ("k", "BTKD"))}
    angle = rng.uniform(-np.pi, np.pi, (1, sizes["T"], 1, sizes["F"]))
    inputs = {name: tensor(rng.standard_normal(shape)) for name, shape in shapes.items()}
    gradients = {f"d{name}_out": tensor(rng.standard_normal(shape)) for name, shape in shapes.items()}
    return inputs | {"cos": tensor(np.cos(angle)), "sin": tensor(np.sin(angle))}, gradients


def _heads(inputs: Tensors) -> Tensors:
    return {name: inputs[name] for name in ("q", "k")}


def _scaled(tensors: Tensors, factor: float) -> Tensors:
    return {name: factor * value for name, value in tensors.items()}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"


def _near(a: Tensor, b: Tensor, unit: float, wide_unit: float, what: str, sizes: dict[str, int], dtype: str) -> None:
    limit = (unit if dtype == "float32" else wide_unit) * a.double().abs()
    assert ((a.double() - b.double()).abs() <= limit).all(), f"{what} differs, sizes={sizes}"
