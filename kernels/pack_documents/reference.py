"""Oracle of the packing: the rule of target.py, word by word."""

import torch
from torch import Tensor


def pack_documents(inputs: dict[str, Tensor], parameters: dict) -> dict[str, Tensor]:
    left = dict(enumerate(inputs["lengths"].tolist()))
    room, rows, pieces = parameters["capacity"] - parameters["filled"], parameters["rows"], []
    while rows > 0 and len(left) >= max(parameters["keep"], 1):
        fitting = [document for document, length in left.items() if length <= room]
        largest_or_shortest = (lambda d: (-left[d], d)) if fitting else (lambda d: (left[d], d))
        document = min(fitting or left, key=largest_or_shortest)
        tokens = min(left.pop(document), room)
        pieces.append((document, tokens))
        room -= tokens
        if room == 0:
            room, rows = parameters["capacity"], rows - 1
    padded = pieces + [(-1, 0)] * (len(inputs["lengths"]) - len(pieces))
    documents_D, tokens_D = torch.tensor(padded, dtype=torch.int64).T
    return {"documents": documents_D, "tokens": tokens_D}


def pack_documents_magnitudes(
    inputs: dict[str, Tensor], parameters: dict, outputs: dict[str, Tensor], output_gradients: dict[str, Tensor] | None
) -> dict[str, Tensor]:
    """Integers are exact."""
    return {name: torch.zeros(len(inputs["lengths"])) for name in outputs}


def pack_documents_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    return {"documents": 0, "tokens": 0}
