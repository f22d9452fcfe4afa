"""Relations that any honest soft-capped cross-entropy satisfies. Bitwise where the arithmetic cannot differ.

A row keeps its place inside each relation, so a kernel may treat places differently.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ENTRY = "softcap_cross_entropy"
CAP = 15.0
SIZES = ({"N": 5, "V": 67}, {"N": 33, "V": 128}, {"N": 3, "V": 1031})


def ignored_rows_cost_exactly_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        inputs["targets"][::2] = -1
        got = run(ENTRY, sizes, {}, inputs, {"dloss": 1e6 * gradients["dloss"]})
        assert (got["loss"][::2] == 0).all(), f"loss of an ignored row, sizes={sizes}"
        assert (got["dlogits"][::2] == 0).all(), f"gradient of an ignored row, sizes={sizes}"


def rows_are_independent(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        others, other_gradients = _draw(sizes, dtype, rng)
        row = int(rng.integers(sizes["N"]))
        before = run(ENTRY, sizes, {}, inputs, gradients)
        for source, other in ((inputs, others), (gradients, other_gradients)):
            for name, value in source.items():
                other[name][row] = value[row]
        after = run(ENTRY, sizes, {}, others, other_gradients)
        for name in ("loss", "dlogits"):
            _same(before[name][row], after[name][row], f"{name} of row {row} when others change", sizes)


def every_logit_counts(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Raising any one logit raises its row's loss: no tail or tile edge is left out."""
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs)["loss"]
        columns = rng.permutation(np.r_[0, 15, 16, 31, 32, 63, 64, sizes["V"] - 1])[: sizes["N"]]
        rows = torch.arange(len(columns))
        inputs["targets"][rows] = torch.from_numpy((columns + 1) % sizes["V"])
        before = run(ENTRY, sizes, {}, inputs)["loss"]
        inputs["logits"][rows, torch.from_numpy(columns)] = 14.0
        after = run(ENTRY, sizes, {}, inputs)["loss"]
        assert (after[rows] > before[rows] + 0.01).all(), f"a logit among columns {columns} is ignored, sizes={sizes}"
        _same(before[len(columns) :], after[len(columns) :], "loss of the rows not touched", sizes)


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)["dlogits"]
        after = run(ENTRY, sizes, {}, inputs, {"dloss": 8 * gradients["dloss"]})["dlogits"]
        _same(8 * before, after, "dlogits for dloss x 8", sizes)


def each_row_has_its_own_upstream_gradient(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)["dlogits"]
        gradients["dloss"][1::2] = 0
        after = run(ENTRY, sizes, {}, inputs, gradients)["dlogits"]
        assert (after[1::2] == 0).all(), f"gradient of a row whose upstream gradient is 0, sizes={sizes}"
        _same(before[::2], after[::2], "dlogits of the other rows", sizes)


def gradients_before_the_cap_sum_to_zero(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """sum_j dlogits_j / (1 - tanh_j^2) = dloss (sum_j p_j - 1) = 0.

    Limit in float32: p and the target's term carry 1 + 2 CAP roundings each, sums grow with sqrt(V); in bfloat16 the
    rounding of every gradient adds 2^-8 relative, and they sum to 2 in magnitude.
    """
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        dlogits = run(ENTRY, sizes, {}, inputs, {"dloss": torch.ones(sizes["N"])})["dlogits"].double()
        capped = dlogits / (1 - torch.tanh(inputs["logits"].double() / CAP) ** 2)
        limit = 2 * (1 + 2 * CAP) * (4 + sizes["V"] ** 0.5) * 2.0**-24 + (2.0**-7 if dtype == "bfloat16" else 0.0)
        assert (capped.sum(1).abs() <= limit).all(), f"probabilities do not sum to one, sizes={sizes}"


def nothing_changes_beyond_saturation(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """tanh(2^20 / 15) is 1 in float32 whatever its form, slope 0, so a larger logit is the same logit."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        far = torch.from_numpy(rng.random((sizes["N"], sizes["V"])) < 0.2)
        sign = inputs["logits"].sign()
        near = inputs | {"logits": torch.where(far, 2.0**20 * sign, inputs["logits"])}
        beyond = inputs | {"logits": torch.where(far, 2.0**60 * sign, inputs["logits"])}
        before, after = run(ENTRY, sizes, {}, near, gradients), run(ENTRY, sizes, {}, beyond, gradients)
        for name in ("loss", "dlogits"):
            _same(before[name], after[name], f"{name} between logits of 2^20 and 2^60", sizes)


def equal_logits_cost_the_logarithm_of_the_vocabulary(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, _ = _draw(sizes, dtype, rng)
        inputs["logits"] = torch.full_like(inputs["logits"], 1.5)
        loss = run(ENTRY, sizes, {}, inputs)["loss"].double()
        exact = float(np.log(sizes["V"]))
        limit = 2 * CAP * (4 + sizes["V"] ** 0.5) * 2.0**-24
        assert ((loss - exact).abs() <= limit).all(), f"loss of equal logits is not log V, sizes={sizes}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    ignored_rows_cost_exactly_nothing,
    rows_are_independent,
    every_logit_counts,
    gradients_are_linear_in_powers_of_two,
    each_row_has_its_own_upstream_gradient,
    gradients_before_the_cap_sum_to_zero,
    nothing_changes_beyond_saturation,
    equal_logits_cost_the_logarithm_of_the_vocabulary,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    logits = torch.from_numpy(2 * rng.standard_normal((sizes["N"], sizes["V"]))).to(DTYPES[dtype])
    targets = torch.from_numpy(rng.integers(0, sizes["V"], sizes["N"]))
    dloss = torch.from_numpy(rng.standard_normal(sizes["N"])).float()
    return {"logits": logits, "targets": targets}, {"dloss": dloss}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
