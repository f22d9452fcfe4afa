"""What training runs for this target, and the rivals."""

import bisect
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

TAKEN = np.iinfo(np.int64).max


def pack_documents(lengths: Tensor, *, capacity: int, filled: int, rows: int, keep: int) -> tuple[Tensor, Tensor]:
    """One look at the whole buffer for each piece, by numpy."""
    left = lengths.numpy().copy()
    documents, tokens = np.full(len(left), -1), np.zeros(len(left), dtype=np.int64)
    room, count = capacity - filled, 0
    while rows > 0 and len(left) - count >= max(keep, 1):
        fitting = np.where(left <= room, left, 0)
        chosen = int(fitting.argmax())
        if not fitting[chosen]:
            chosen = int(left.argmin())
        documents[count], tokens[count] = chosen, min(int(left[chosen]), room)
        room -= int(tokens[count])
        left[chosen] = TAKEN
        count += 1
        if room == 0:
            room, rows = capacity, rows - 1
    return torch.from_numpy(documents), torch.from_numpy(tokens)


def scan(lengths: Tensor, *, capacity: int, filled: int, rows: int, keep: int) -> tuple[Tensor, Tensor]:
    """A loop of Python over the buffer for each piece, as upstream has it."""
    left = list(enumerate(lengths.tolist()))
    pieces: list[tuple[int, int]] = []
    room = capacity - filled
    while rows > 0 and len(left) >= max(keep, 1):
        best, best_length = -1, 0
        for index, (_, length) in enumerate(left):
            if best_length < length <= room:
                best, best_length = index, length
        if best < 0:
            best = min(range(len(left)), key=lambda index: left[index][1])
        document, length = left.pop(best)
        pieces.append((document, min(length, room)))
        room -= pieces[-1][1]
        if room == 0:
            room, rows = capacity, rows - 1
    return _padded(pieces, len(lengths))


def bisection(lengths: Tensor, *, capacity: int, filled: int, rows: int, keep: int) -> tuple[Tensor, Tensor]:
    """Sorted once; the first of equals is found by a second bisection."""
    left = sorted(zip(lengths.tolist(), range(len(lengths)), strict=True))
    pieces: list[tuple[int, int]] = []
    room = capacity - filled
    while rows > 0 and len(left) >= max(keep, 1):
        end = bisect.bisect_left(left, (room + 1, 0))
        place = bisect.bisect_left(left, (left[end - 1][0], 0)) if end else 0
        length, document = left.pop(place)
        pieces.append((document, min(length, room)))
        room -= pieces[-1][1]
        if room == 0:
            room, rows = capacity, rows - 1
    return _padded(pieces, len(lengths))


def _padded(pieces: list[tuple[int, int]], n_documents: int) -> tuple[Tensor, Tensor]:
    made = np.empty((2, n_documents), dtype=np.int64)
    made[:, : len(pieces)] = np.array(pieces, dtype=np.int64).reshape(-1, 2).T
    made[0, len(pieces) :], made[1, len(pieces) :] = -1, 0
    return torch.from_numpy(made[0]), torch.from_numpy(made[1])


RIVALS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {"scan": scan, "bisection": bisection}
