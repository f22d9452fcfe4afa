"""Relations that any honest feed-forward layer satisfies. Bitwise where the arithmetic cannot differ.

A row keeps its place inside each relation, so a kernel may treat places differently. Axes as in target.py.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
Tensors = dict[str, Tensor]
ENTRY = "relu2_mlp"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIZES = ({"N": 5, "C": 19, "F": 33}, {"N": 33, "C": 16, "F": 64}, {"N": 13, "C": 65, "F": 7})


def rows_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        row = int(rng.integers(sizes["N"]))
        others["input"][row] = inputs["input"][row]
        other_gradients["dprojected"][row] = gradients["dprojected"][row]
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | {"input": others["input"]}, other_gradients)
        for name in ("projected", "dinput"):
            _same(before[name][row], after[name][row], f"{name} of row {row} when others change", sizes)


def powers_of_two_pass_through(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """x by 2, fc by 4, proj by 1/2 and gradients by 8: squares take theirs twice."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        scaled = {"input": 2 * inputs["input"], "fc": 4 * inputs["fc"], "proj": inputs["proj"] / 2}
        after = run(ENTRY, sizes, {}, scaled, {"dprojected": 8 * gradients["dprojected"]})
        # dh takes 8 from h and 4 from da; a takes 64.
        for name, factor in (("projected", 32), ("dinput", 32 * 4), ("dfc", 32 * 2), ("dproj", 8 * 64)):
            _same(factor * before[name], after[name], f"{name} of scaled inputs", sizes)


def features_that_never_fire_do_not_matter(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        inputs["input"] = inputs["input"].abs() + 0.5
        dead = torch.from_numpy(rng.random(sizes["F"]) < 0.4)
        inputs["fc"][dead] = -inputs["fc"][dead].abs() - 0.5
        changed = inputs["proj"].clone()
        changed[:, dead] = torch.randn_like(changed[:, dead].float()).to(changed.dtype)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs | {"proj": changed}, gradients)
        for name in ("projected", "dinput"):
            _same(before[name], after[name], f"{name} when the weights of silent features change", sizes)
        assert (before["dfc"][dead] == 0).all(), f"dfc of silent features, sizes={sizes}"
        assert (before["dproj"][:, dead] == 0).all(), f"dproj of silent features, sizes={sizes}"


def every_feature_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """One feature at a time fires, with a value of its own: no tail or tile edge is left out, none stands elsewhere."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        N, F = sizes["N"], sizes["F"]
        features = torch.from_numpy(rng.choice([f for f in (0, 6, 11, 12, 15, 16, 31, 32, F - 1) if f < F], N))
        inputs["input"] = torch.zeros_like(inputs["input"])
        inputs["fc"] = torch.zeros_like(inputs["fc"])
        inputs["input"][:, -1] = 2.0
        for row in range(N):
            inputs["fc"].zero_()[features[row], -1] = 1.0
            got = run(ENTRY, sizes, {}, inputs, gradients)["projected"][row]
            _same(got, 4 * inputs["proj"][:, features[row]], f"feature {int(features[row])} alone", sizes)


def weight_gradients_add_over_rows(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Rows without an upstream gradient add exactly nothing to the weights' gradients."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, _ = _draw(sizes, dtype, rng)
        silent = torch.from_numpy(rng.random(sizes["N"]) < 0.5)
        gradients["dprojected"][silent] = 0
        before = run(ENTRY, sizes, {}, inputs, gradients)
        mixed = torch.where(silent[:, None], others["input"], inputs["input"])
        after = run(ENTRY, sizes, {}, inputs | {"input": mixed}, gradients)
        for name in ("dfc", "dproj"):
            _same(before[name], after[name], f"{name} when rows without a gradient change", sizes)
        assert (before["dinput"][silent] == 0).all(), f"dinput of a row without a gradient, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    rows_are_independent,
    powers_of_two_pass_through,
    features_that_never_fire_do_not_matter,
    every_feature_counts,
    weight_gradients_add_over_rows,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    def normal(axes: str) -> Tensor:
        return torch.from_numpy(rng.standard_normal([sizes[axis] for axis in axes])).to(DTYPES[dtype])

    return {"input": normal("NC"), "fc": normal("FC"), "proj": normal("CF")}, {"dprojected": normal("NC")}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
