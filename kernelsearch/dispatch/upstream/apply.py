"""Which kernels go into somebody else's nanochat, over upstream's own functions as what runs outside their domain."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from kernelsearch.dispatch.bind import Binding, bind, counter, select
from kernelsearch.dispatch.fingerprint import admission_place, fingerprint
from kernelsearch.dispatch.shadow import Shadow
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.dispatch.upstream.install import Patches
from kernelsearch.dispatch.upstream.names import PACKAGE
from kernelsearch.dispatch.upstream.stock import OPTIONAL, Stock
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger
from kernelsearch.spec import TargetFolder, library_path, target_names
from kernelsearch.spec.target import SCALAR_DTYPES

CHOICES = ("promoted", "accepted", "none")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Choice:
    """Which kernels may run: of those that are eligible the best that `admit` says was judged here, for each dtype."""

    library: Path
    state_dir: Path
    is_eligible: Callable[[Accepted], bool]
    admit: Callable[[Accepted], bool] = lambda accepted: True
    shadow: Shadow | None = None
    device: str = "cpu"


def apply(
    package: ModuleType | str = PACKAGE,
    *,
    kernels: str = "promoted",
    state_dir: Path,
    is_identity: bool = False,
    shadow: float | None = None,
    trusted: Mapping[str, str] | None = None,
) -> Patches:
    """Patch `package`, now where it is loaded and else when it is imported. Only kernels judged on this machine run.

    `kernels` is promoted, accepted or none; `shadow` is a rate (kernelsearch.dispatch.shadow). `is_identity` puts every
    patch in place over upstream's own functions: the losses must stay what they were, bit for bit.
    """
    if kernels not in CHOICES:
        raise UsageError(f"kernels={kernels!r}: choose from {', '.join(CHOICES)}")
    library = library_path()
    chosen = select(is_promoted_only=kernels == "promoted", digests=[] if kernels == "none" else None)
    admit = admissions(library, Ledger(state_dir / "ledger.jsonl"))
    watcher = None if shadow is None else Shadow(shadow, state_dir / "breaches")
    choice = Choice(library, state_dir, chosen, admit, watcher)
    name = package if isinstance(package, str) else package.__name__
    patches = make_patches(choice, name, is_identity=is_identity, trusted=trusted or {})
    patches.install_when_imported()
    return patches


def make_patches(choice: Choice, package: str, *, is_identity: bool, trusted: Mapping[str, str]) -> Patches:
    patches = Patches(lambda stock: bind_entries(choice, stock), package, trusted)
    if is_identity:
        patches.bind_entries = lambda stock: (count_originals(stock, patches), ())
    return patches


def bind_entries(choice: Choice, stock: Stock) -> tuple[dict[str, Callable[..., Any]], list[Binding]]:
    """The best kernel for each entry of `stock` and each dtype, over `stock` as what runs outside their domains."""
    folders = [TargetFolder(choice.library / name) for name in target_names(choice.library)]
    wanted = [f for f in folders if {entry.name for entry in f.target.entries} & set(stock)]
    store = Store(choice.library, choice.state_dir)
    by_dtype = {
        dtype: bind(
            wanted,
            store,
            device=choice.device,
            dtype=dtype,
            admit=choice.admit,
            cache_dir=choice.state_dir / "cache",
            is_eligible=prefer_admitted(choice, store, dtype),
            baselines=stock,
            shadow=choice.shadow,
        )
        for dtype in SCALAR_DTYPES
    }
    calls = {}
    for entry in stock:
        found = {DTYPES[dtype]: b.ops[entry] for dtype, b in by_dtype.items() if entry in b.ops}
        if found:
            calls[entry] = choose_by_dtype(found)
    return calls, list(by_dtype.values())


def prefer_admitted(choice: Choice, store: Store, dtype: str) -> Callable[[Accepted], bool]:
    """Admitted kernels; of a target without one also the others, so that the report says why none runs."""

    def is_first(accepted: Accepted) -> bool:
        return choice.is_eligible(accepted) and choice.admit(accepted)

    @functools.cache
    def has_admitted(target: str) -> bool:
        return store.best(target, choice.device, dtype, is_first) is not None

    def is_eligible(accepted: Accepted) -> bool:
        return is_first(accepted) or (choice.is_eligible(accepted) and not has_admitted(accepted.candidate.target))

    return is_eligible


def choose_by_dtype(calls: Mapping[torch.dtype, Callable[..., Any]]) -> Callable[..., Any]:
    """One callable for kernels of several dtypes, by that of the first tensor; any of them refuses another one."""
    if len(calls) == 1:
        return next(iter(calls.values()))
    fallback = next(iter(calls.values()))

    def call(first: Tensor, *rest: Any, **parameters: Any) -> Any:
        return calls.get(first.dtype, fallback)(first, *rest, **parameters)

    return call


def count_originals(stock: Stock, patches: Patches) -> dict[str, Callable[..., Any]]:
    """Upstream's own functions, counted: what patches change without a kernel, which must be nothing."""
    count = counter(patches.original_calls)

    def counted(entry: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def run(*arguments: Any, **parameters: Any) -> Any:
            count(entry)
            return call(*arguments, **parameters)

        return run

    return {entry: counted(entry, call) for entry, call in stock.items() if entry not in OPTIONAL}


def admissions(library: Path, ledger: Ledger) -> Callable[[Accepted], bool]:
    """Whether a kernel was judged here: accepted under today's contract and fingerprint, or admitted since."""

    @functools.cache
    def was_admitted(target: str, digest: str, device: str, dtype: str, is_fresh: bool, contract: str) -> bool:
        folder = TargetFolder(library / target)
        if is_fresh and contract == folder.contract_digest:
            return True
        where = admission_place(folder.contract_digest, device)
        lines = ledger.find("admission", candidate=digest, where=where, dtype=dtype)
        return any(bool(line.body["admitted"]) for line in lines)

    def ask(accepted: Accepted) -> bool:
        is_fresh = not accepted.needs_rejudging(fingerprint(accepted.device))
        return was_admitted(
            accepted.candidate.target,
            accepted.digest,
            accepted.device,
            accepted.dtype,
            is_fresh,
            accepted.contract_digest,
        )

    return ask
