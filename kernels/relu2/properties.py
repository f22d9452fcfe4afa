"""Relations that any honest squared positive part satisfies, all of them bitwise: there is but one rounding."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ENTRY = "relu2"
SIZES = ({"N": 37}, {"N": 512}, {"N": 8195})


def negative_elements_give_exactly_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        got = run(ENTRY, sizes, {}, inputs, gradients)
        for name in ("activated", "dh"):
            assert (got[name][inputs["h"] <= 0] == 0).all(), f"{name} of an element that is not positive, sizes={sizes}"


def powers_of_two_pass_through(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, {"h": 4 * inputs["h"]}, {"dactivated": 8 * gradients["dactivated"]})
        _same(16 * before["activated"], after["activated"], "activated of h x 4", sizes)
        _same(32 * before["dh"], after["dh"], "dh of h x 4 and dactivated x 8", sizes)


def the_gradient_is_odd_in_the_upstream_gradient(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run(ENTRY, sizes, {}, inputs, gradients)
        after = run(ENTRY, sizes, {}, inputs, {"dactivated": -gradients["dactivated"]})
        _same(-before["dh"], after["dh"], "dh of opposite gradients", sizes)


def elements_are_rounded_products(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Both results are one product, and a product is rounded the same everywhere."""
    for sizes in SIZES:
        inputs, gradients = _draw(sizes, dtype, rng)
        got = run(ENTRY, sizes, {}, inputs, gradients)
        positive, upstream = inputs["h"].double().relu(), gradients["dactivated"].double()
        for name, exact in (("activated", positive.square()), ("dh", 2 * positive * upstream)):
            # Through float32 first, as a kernel must: in bfloat16 the product of two is exact there.
            _same(got[name], exact.float().to(DTYPES[dtype]), name, sizes)


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    negative_elements_give_exactly_nothing,
    powers_of_two_pass_through,
    the_gradient_is_odd_in_the_upstream_gradient,
    elements_are_rounded_products,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    h, upstream = (torch.from_numpy(rng.standard_normal(sizes["N"])).to(DTYPES[dtype]) for _ in range(2))
    return {"h": h}, {"dactivated": upstream}


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int]) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes}"
