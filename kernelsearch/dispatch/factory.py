"""What a trainer in another process imports by name: "kernelsearch.dispatch.factory:promoted"."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kernelsearch.dispatch.bind import bind, select
from kernelsearch.dispatch.shadow import Shadow
from kernelsearch.dispatch.store import Store
from kernelsearch.errors import UsageError
from kernelsearch.spec import TargetFolder, library_path, target_names

CHOICES = ("promoted", "accepted", "none")


def promoted(argument: Mapping[str, Any]) -> tuple[dict[str, Callable[..., Any]], Callable[[], dict[str, Any]]]:
    """(callables by entry, report) for {"state_dir", "library", "device", "dtype", "which", "digests", "shadow"}.

    "which" is promoted, accepted or none; "digests" limits the choice to those listed; "library" defaults to the
    installation's, "device" to "cpu"; "shadow" is the rate of kernelsearch.dispatch.shadow, or null. The caller has
    judged these kernels on this machine: nothing is judged again here.
    """
    which = argument["which"]
    if which not in CHOICES:
        raise UsageError(f"which={which!r}: choose from {', '.join(CHOICES)}")
    library, state_dir = Path(argument.get("library") or library_path()), Path(argument["state_dir"])
    digests = [] if which == "none" else argument.get("digests")
    rate: float | None = argument.get("shadow")
    binding = bind(
        [TargetFolder(library / name) for name in target_names(library)],
        Store(library, state_dir),
        device=argument.get("device", "cpu"),
        dtype=argument["dtype"],
        admit=lambda accepted: True,
        cache_dir=state_dir / "cache",
        is_eligible=select(is_promoted_only=which == "promoted", digests=digests),
        shadow=None if rate is None else Shadow(rate, state_dir / "breaches"),
    )
    return binding.ops, binding.report
