"""Relations that any best-fit packing satisfies, all bitwise."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Run = Callable[..., dict[str, Tensor]]
ENTRY = "pack_documents"
CASES = (
    (7, {"capacity": 10, "filled": 3, "rows": 2, "keep": 1}),
    (150, {"capacity": 513, "filled": 0, "rows": 4, "keep": 100}),
    (1100, {"capacity": 2049, "filled": 2000, "rows": 60, "keep": 1000}),
)


def every_token_is_used_at_most_once(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        lengths = _draw(D, numbers, rng)
        documents, tokens = _pieces(run, lengths, numbers)
        assert len(set(documents)) == len(documents), f"a document is taken twice, D={D} {numbers}"
        assert all(0 < n <= lengths[d] for d, n in zip(documents, tokens, strict=True)), f"tokens made up, D={D}"


def rows_are_exactly_full(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        _, tokens = _pieces(run, _draw(D, numbers, rng), numbers | {"keep": 0})
        ends = numbers["filled"] + np.cumsum(tokens)
        full = min(int(ends[-1]) // numbers["capacity"], numbers["rows"])
        wanted = numbers["capacity"] * np.arange(1, full + 1)
        assert full > 0 and np.isin(wanted, ends).all(), f"a piece reaches over the end of a row, D={D} {numbers}"
        assert full < numbers["rows"] or ends[-1] == wanted[-1], f"more than the rows asked for, D={D} {numbers}"


def only_a_piece_that_closes_its_row_is_cropped(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        lengths = _draw(D, numbers, rng)
        documents, tokens = _pieces(run, lengths, numbers)
        ends = (numbers["filled"] + np.cumsum(tokens)) % numbers["capacity"]
        is_cropped = np.array(tokens) < lengths.numpy()[documents]
        assert (ends[is_cropped] == 0).all(), f"cropped inside a row, D={D} {numbers}"


def the_unit_of_length_cancels(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        lengths = _draw(D, numbers, rng)
        scaled = numbers | {"capacity": 3 * numbers["capacity"], "filled": 3 * numbers["filled"]}
        documents, tokens = _pieces(run, lengths, numbers)
        others, thrice = _pieces(run, 3 * lengths, scaled)
        assert documents == others and [3 * n for n in tokens] == thrice, f"changes with the unit, D={D} {numbers}"


def documents_of_unlike_lengths_may_stand_anywhere(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        lengths = torch.from_numpy(rng.permutation(2 * max(D, numbers["capacity"]))[:D] + 1)
        moved = torch.from_numpy(rng.permutation(D))
        documents, tokens = _pieces(run, lengths, numbers)
        others, same = _pieces(run, lengths[moved], numbers)
        assert documents == moved[others].tolist() and tokens == same, f"changes with the places, D={D} {numbers}"


def of_equal_documents_the_first_goes_first(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        for length in (1, numbers["capacity"], 2 * numbers["capacity"]):
            documents, _ = _pieces(run, torch.full((D,), length), numbers)
            assert documents == list(range(len(documents))), f"equals out of order, D={D} {numbers}"


def row_by_row_is_the_same_as_all_at_once(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        lengths = _draw(D, numbers, rng)
        whole = _pieces(run, lengths, numbers)
        first = _pieces(run, lengths, numbers | {"rows": 1})
        left = np.delete(np.arange(D), first[0])
        rest = numbers | {"rows": numbers["rows"] - 1, "filled": 0}
        then = _pieces(run, lengths[left], rest) if len(left) and _is_full(first, numbers) else ([], [])
        assert whole[0] == first[0] + left[then[0]].tolist(), f"other documents row by row, D={D} {numbers}"
        assert whole[1] == first[1] + then[1], f"other pieces row by row, D={D} {numbers}"


def enough_documents_are_kept(run: Run, dtype: str, rng: np.random.Generator) -> None:
    for D, numbers in CASES:
        for keep in (0, 1, D - 1, D, D + 1):
            documents, _ = _pieces(run, _draw(D, numbers, rng), numbers | {"rows": 10 * D, "keep": keep})
            assert len(documents) == max(0, D - max(keep, 1) + 1), f"stops at the wrong document, D={D} keep={keep}"


PROPERTIES: tuple[Callable[[Run, str, np.random.Generator], None], ...] = (
    every_token_is_used_at_most_once,
    rows_are_exactly_full,
    only_a_piece_that_closes_its_row_is_cropped,
    the_unit_of_length_cancels,
    documents_of_unlike_lengths_may_stand_anywhere,
    of_equal_documents_the_first_goes_first,
    row_by_row_is_the_same_as_all_at_once,
    enough_documents_are_kept,
)


def _draw(D: int, numbers: dict[str, int], rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(rng.integers(1, numbers["capacity"] + numbers["capacity"] // 2, D))


def _pieces(run: Run, lengths: Tensor, numbers: dict[str, int]) -> tuple[list[int], list[int]]:
    """Documents and tokens of the pieces; what stands behind them must be -1 and 0."""
    got = run(ENTRY, {"D": len(lengths)}, numbers, {"lengths": lengths})
    count = int((got["documents"] >= 0).sum())
    assert (got["documents"][count:] == -1).all(), f"documents behind the last piece, D={len(lengths)} {numbers}"
    assert (got["tokens"][count:] == 0).all(), f"tokens behind the last piece, D={len(lengths)} {numbers}"
    return got["documents"][:count].tolist(), got["tokens"][:count].tolist()


def _is_full(pieces: tuple[list[int], list[int]], numbers: dict[str, int]) -> bool:
    return numbers["filled"] + sum(pieces[1]) == numbers["capacity"]
