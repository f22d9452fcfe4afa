"""Ranks of one distributed run must run the same kernels: else each computes another model's share of a gradient."""

import torch.distributed as dist

from kernelsearch.errors import UsageError


def agree(digest: str) -> None:
    """Compare `digest` over all ranks, where there are several; raises UsageError on every rank if they differ."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    digests: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(digests, digest)
    if len(set(digests)) > 1:
        named = ", ".join(f"rank {rank}: {str(found)[:12]}" for rank, found in enumerate(digests))
        raise UsageError(
            f"ranks run different kernels ({named}): run once in one process first, so that all read what it found"
        )
