"""Relations that any honest attention satisfies. Bitwise where the arithmetic cannot differ.

Positions are kept fixed inside each relation, so a kernel may treat tile edges as it likes. Axes as in baseline.py.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SHAPES = (
    ({"B": 2, "T": 67, "H": 4, "K": 2, "D": 16}, 20),
    ({"B": 2, "T": 130, "H": 4, "K": 2, "D": 64}, 64),
    ({"B": 2, "T": 97, "H": 2, "K": 2, "D": 40}, 96),
)


def later_tokens_never_change_earlier_results(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, gradients = _draw(sizes, dtype, rng)
        t = int(rng.integers(0, sizes["T"] - 1))
        before = run("attention", sizes, {"window": window}, inputs, gradients)
        changed = _replaced(inputs, slice(t + 1, None), rng)
        changed_gradients = _replaced(gradients, slice(t + 1, None), rng)
        after = run("attention", sizes, {"window": window}, changed, changed_gradients)
        for name in ("out", "dq"):
            _same(before[name][:, : t + 1], after[name][:, : t + 1], f"{name} up to token {t}", sizes, window)


def keys_before_the_window_never_matter(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES[:2]:
        inputs, gradients = _draw(sizes, dtype, rng)
        t = int(rng.integers(window + 1, sizes["T"]))
        before = run("attention", sizes, {"window": window}, inputs, gradients)
        changed = inputs | _replaced({name: inputs[name] for name in ("k", "v")}, slice(None, t - window), rng)
        after = run("attention", sizes, {"window": window}, changed, gradients)
        for name in ("out", "dq"):
            _same(before[name][:, t:], after[name][:, t:], f"{name} from token {t}", sizes, window)


def the_oldest_key_of_the_window_matters(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES[:2]:
        inputs, _ = _draw(sizes, dtype, rng)
        t = int(rng.integers(window, sizes["T"]))
        before = run("attention", sizes, {"window": window}, inputs)["out"][:, t]
        changed = inputs | _replaced({"v": inputs["v"]}, slice(t - window, t - window + 1), rng)
        after = run("attention", sizes, {"window": window}, changed)["out"][:, t]
        assert not torch.equal(before, after), (
            f"key {t - window} does not reach query {t}, sizes={sizes} window={window}"
        )


def the_first_token_copies_its_value(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, _ = _draw(sizes, dtype, rng)
        out = run("attention", sizes, {"window": window}, inputs)["out"][:, 0].double()
        value = _per_query_head(inputs["v"], sizes)[:, 0].double()
        _near(out, value, _partition_error(dtype, 1) * value.abs(), "first token", sizes, window)


def a_constant_value_is_returned(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Probabilities sum to one: a long window also shows an accumulator that is too narrow."""
    for sizes, window in (*SHAPES, ({"B": 1, "T": 640, "H": 1, "K": 1, "D": 32}, 600)):
        inputs, _ = _draw(sizes, dtype, rng)
        inputs["v"] = torch.full_like(inputs["v"], 1.3125)
        out = run("attention", sizes, {"window": window}, inputs)["out"].double()
        limit = torch.full_like(out, 1.3125 * _partition_error(dtype, window + 1))
        _near(out, torch.full_like(out, 1.3125), limit, "constant value", sizes, window)


def identical_keys_average_the_window(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, _ = _draw(sizes, dtype, rng)
        inputs["k"] = torch.full_like(inputs["k"], 0.5)
        out = run("attention", sizes, {"window": window}, inputs)["out"].double()
        values = _per_query_head(inputs["v"], sizes).double()
        for t in (0, window // 2, sizes["T"] - 1):
            seen = values[:, max(0, t - window) : t + 1]
            limit = _partition_error(dtype, window + 1) * seen.abs().mean(1)
            _near(out[:, t], seen.mean(1), limit, f"mean of the window at token {t}", sizes, window)


def a_dominant_late_key_returns_its_value(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """One key of the last quarter scores about 200 above all others: exp(-200) is nothing, and exp(200) overflows."""
    for sizes, window in (*SHAPES[1:], ({"B": 1, "T": 300, "H": 1, "K": 1, "D": 16}, 299)):
        inputs, _ = _draw(sizes, dtype, rng)
        t = int(rng.integers(3 * sizes["T"] // 4, sizes["T"]))
        inputs["q"][..., 0], inputs["k"][..., 0] = 16.0, 0.0
        inputs["k"][:, t, :, 0] = 12.5 * sizes["D"] ** 0.5
        out = run("attention", sizes, {"window": window}, inputs)["out"][:, t : t + window + 1].double()
        value = _per_query_head(inputs["v"], sizes)[:, t : t + 1].double()
        _near(out, value.expand_as(out), _partition_error(dtype, 1) * value.abs(), f"dominant key {t}", sizes, window)


def batch_order_is_immaterial(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run("attention", sizes, {"window": window}, inputs, gradients)
        after = run("attention", sizes, {"window": window}, _flipped(inputs, 0), _flipped(gradients, 0))
        for name, value in _flipped(before, 0).items():
            _same(value, after[name], f"{name} after swapping batch rows", sizes, window)


def head_order_is_immaterial(run: Run, dtype: str, rng: np.random.Generator) -> None:
    """Key heads swapped together with their query heads; inside a group the order of query heads stays."""
    for sizes, window in SHAPES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run("attention", sizes, {"window": window}, inputs, gradients)
        after = run("attention", sizes, {"window": window}, _swapped(inputs, sizes), _swapped(gradients, sizes))
        for name, value in _swapped(before, sizes).items():
            _same(value, after[name], f"{name} after swapping key heads", sizes, window)


def each_query_head_reads_its_own_key_head(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, _ = _draw(sizes, dtype, rng)
        before = run("attention", sizes, {"window": window}, inputs)["out"]
        changed = {name: value.clone() for name, value in inputs.items()}
        changed["v"][:, :, 0] += 1
        after = run("attention", sizes, {"window": window}, changed)["out"]
        group = sizes["H"] // sizes["K"]
        _same(before[:, :, group:], after[:, :, group:], "heads of the other key heads", sizes, window)
        moved = (before[:, :, :group] != after[:, :, :group]).flatten(3).any(3)
        assert moved.all(), f"a query head ignores its key head, sizes={sizes} window={window}"


def doubling_values_doubles_the_output(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run("attention", sizes, {"window": window}, inputs, gradients)
        after = run("attention", sizes, {"window": window}, inputs | {"v": 2 * inputs["v"]}, gradients)
        for name in ("out", "dq", "dk"):
            _same(2 * before[name], after[name], f"{name} for doubled v", sizes, window)
        _same(before["dv"], after["dv"], "dv for doubled v", sizes, window)


def gradients_are_linear_in_powers_of_two(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, window in SHAPES:
        inputs, gradients = _draw(sizes, dtype, rng)
        before = run("attention", sizes, {"window": window}, inputs, gradients)
        after = run("attention", sizes, {"window": window}, inputs, {"dout": 4 * gradients["dout"]})
        for name in ("dq", "dk", "dv"):
            _same(4 * before[name], after[name], f"{name} for dout x 4", sizes, window)


def a_window_beyond_the_start_changes_nothing(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for sizes, _ in SHAPES:
        inputs, gradients = _draw(sizes, dtype, rng)
        whole = run("attention", sizes, {"window": sizes["T"] - 1}, inputs, gradients)
        for window in (sizes["T"], 2**40):
            wider = run("attention", sizes, {"window": window}, inputs, gradients)
            for name, value in whole.items():
                _same(value, wider[name], f"{name} against window T - 1", sizes, window)


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    later_tokens_never_change_earlier_results,
    keys_before_the_window_never_matter,
    the_oldest_key_of_the_window_matters,
    the_first_token_copies_its_value,
    a_constant_value_is_returned,
    identical_keys_average_the_window,
    a_dominant_late_key_returns_its_value,
    batch_order_is_immaterial,
    head_order_is_immaterial,
    each_query_head_reads_its_own_key_head,
    doubling_values_doubles_the_output,
    gradients_are_linear_in_powers_of_two,
    a_window_beyond_the_start_changes_nothing,
)


def _draw(sizes: dict[str, int], dtype: str, rng: np.random.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    def normal(axes: str) -> Tensor:
        return torch.from_numpy(rng.standard_normal([sizes[axis] for axis in axes])).to(DTYPES[dtype])

    return {"q": normal("BTHD"), "k": normal("BTKD"), "v": normal("BTKD")}, {"dout": normal("BTHD")}


def _replaced(tensors: dict[str, Tensor], tokens: slice, rng: np.random.Generator) -> dict[str, Tensor]:
    """Other values at these tokens: large, but finite, because a masked tile may compute 0 * x."""
    found = {}
    for name, value in tensors.items():
        found[name] = value.clone()
        fresh = 30 * torch.from_numpy(rng.standard_normal(value[:, tokens].shape))
        found[name][:, tokens] = fresh.to(value.dtype)
    return found


def _flipped(tensors: dict[str, Tensor], axis: int) -> dict[str, Tensor]:
    return {name: value.flip(axis).contiguous() for name, value in tensors.items()}


def _swapped(tensors: dict[str, Tensor], sizes: dict[str, int]) -> dict[str, Tensor]:
    """Key heads in reverse order, query heads following theirs."""
    found = {}
    for name, value in tensors.items():
        grouped = value.unflatten(2, (sizes["K"], -1))
        found[name] = grouped.flip(2).flatten(2, 3).contiguous()
    return found


def _per_query_head(v_BTKD: Tensor, sizes: dict[str, int]) -> Tensor:
    return v_BTKD.repeat_interleave(sizes["H"] // sizes["K"], dim=2)


def _partition_error(dtype: str, keys: int) -> float:
    """How far sum_j p_j may stray from 1, relative, with the output's rounding.

    float32: the rule's own limit, 3 g u with g = 1 + 3/4 sqrt(n), for both sums that the result is a quotient of: equal
    values in every row make the roundings of a row alike, so one row may be as far off as the largest element may.
    bfloat16: each P rounded once (2^-8 relative at most; 2^-9 typical of a mean), and the output once.
    """
    return 3 * (1 + 0.75 * keys**0.5) * 2.0**-24 if dtype == "float32" else 1.5 * 2.0**-8


def _same(a: Tensor, b: Tensor, what: str, sizes: dict[str, int], window: int) -> None:
    assert torch.equal(a, b), f"{what} differs, sizes={sizes} window={window}"


def _near(a: Tensor, b: Tensor, limit: Tensor, what: str, sizes: dict[str, int], window: int) -> None:
    assert ((a - b).abs() <= limit).all(), f"{what} is off, sizes={sizes} window={window}"
