"""Training callables for the accepted kernels, each with its guards and its counted fallback.

    ops = bind(folders, store, device="cpu", dtype="float32", admit=judge_again, cache_dir=cache).ops

A call inside the kernel's verified domain runs the kernel, any other runs the target's baseline and is counted by its
reason. The trap is silence: a kernel that never launched would still look like a win, so launches are counted as well.
"""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kernelsearch.build import cpp
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.gpu_operators import Loaded, register_loaded
from kernelsearch.dispatch.guards import guarded
from kernelsearch.dispatch.operators import Launches, Operators, register
from kernelsearch.dispatch.shadow import Shadow, Watched
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.errors import BuildError, EnvironmentMissing, OutsideDomain
from kernelsearch.spec import Entry, TargetFolder, TensorSpec, saved_tensors

TRACED = "while tracing: "


@dataclass(frozen=True)
class BoundEntry:
    """One entry in the hands of one kernel. `before` holds the launches of earlier bindings of the same kernel."""

    accepted: Accepted
    entry: str
    call: Callable[..., Any]
    launches: Launches
    before: Launches
    fallbacks: Counter[str]
    watched: Watched | None = None

    def report(self) -> dict[str, Any]:
        verdict = self.accepted.verdict
        traced = self.launches.traced - self.before.traced
        return {
            "digest": self.accepted.digest,
            "dtype": self.accepted.dtype,
            "launches": {
                "forward": self.launches.forward - self.before.forward,
                "backward": self.launches.backward - self.before.backward,
                **({"traced": traced} if traced else {}),
            },
            "fallbacks": dict(self.fallbacks),
            "speedup": verdict.speedup,
            "low": verdict.low,
            "high": verdict.high,
            **({} if self.watched is None else {"shadow": self.watched.report()}),
        }


@dataclass(frozen=True)
class Binding:
    """What `bind` found: callables by entry, and why the other entries run the baseline."""

    bound: tuple[BoundEntry, ...]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def ops(self) -> dict[str, Callable[..., Any]]:
        return {bound.entry: bound.call for bound in self.bound}

    def report(self) -> dict[str, Any]:
        """Launches and fallbacks so far. Fallbacks met while tracing count once for each trace, not each call."""
        return {
            "kernels": {bound.entry: bound.report() for bound in self.bound},
            "baseline": sorted(self.refused),
            "reasons": dict(self.refused),
        }

    def summary(self) -> str:
        """One line for the end of a run: what ran, and each fallback."""
        parts = []
        for bound in self.bound:
            counts = bound.report()["launches"]
            text = f"{bound.entry} {bound.accepted.digest[:8]} {counts['forward']}+{counts['backward']} launches"
            missed = ", ".join(f"{count} x {reason}" for reason, count in sorted(bound.fallbacks.items()))
            parts.append(f"{text}, fell back {missed}" if missed else text)
        parts += [f"{entry} baseline ({reason})" for entry, reason in sorted(self.refused.items())]
        return "kernels: " + "; ".join(parts)


def bind(
    folders: Iterable[TargetFolder],
    store: Store,
    *,
    device: str,
    dtype: str,
    admit: Callable[[Accepted], bool],
    cache_dir: Path,
    is_eligible: Callable[[Accepted], bool] = lambda accepted: True,
    baselines: Mapping[str, Callable[..., Any]] | None = None,
    shadow: Shadow | None = None,
) -> Binding:
    """The best eligible kernel of each target, compiled, registered and guarded.

    `admit` judges a kernel again; it is asked once for each kernel whose contract or fingerprint is not today's, and
    its no means that the baseline runs. So does a kernel that no longer compiles. `baselines` maps entries to what
    runs outside a kernel's domain, where that is not the target's own baseline; `shadow` checks a sample of calls.
    """
    bound: list[BoundEntry] = []
    refused: dict[str, str] = {}
    for folder in folders:
        target = folder.target
        accepted = store.best(target.name, device, dtype, is_eligible)
        reason = _refusal(folder, accepted, admit)
        if accepted is not None and reason is None:
            try:
                make = _operators_of(folder, accepted, cache_dir)
            except BuildError as error:
                reason = f"does not compile: {str(error).splitlines()[0]}"
            except EnvironmentMissing as error:
                reason = str(error)
        for entry in target.entries:
            if accepted is None or reason is not None:
                refused[entry.name] = reason or "no accepted kernel"
            elif entry.name not in accepted.verdict.domain:
                refused[entry.name] = "not in the verdict's domain"
            else:
                baseline = (baselines or {}).get(entry.name) or getattr(folder.module("baseline"), entry.name)
                bound.append(_bind_entry(folder, accepted, entry, make(entry), baseline, shadow))
    return Binding(tuple(bound), refused)


def _refusal(folder: TargetFolder, accepted: Accepted | None, admit: Callable[[Accepted], bool]) -> str | None:
    if accepted is None:
        return "no accepted kernel"
    is_stale = accepted.contract_digest != folder.contract_digest or accepted.needs_rejudging(
        fingerprint(accepted.device)
    )
    if is_stale and not admit(accepted):
        return "judged on another machine or contract, and not admitted here"
    return None


def _operators_of(folder: TargetFolder, accepted: Accepted, cache_dir: Path) -> Callable[[Entry], Operators]:
    """Registers what a kernel does for an entry. Raises BuildError, or EnvironmentMissing for want of its compiler."""
    candidate, target, dtype = accepted.candidate, folder.target, accepted.dtype

    def saved(entry: Entry) -> tuple[TensorSpec, ...]:
        return saved_tensors(candidate.declared, target, entry.name)

    if accepted.device == "cuda":
        loaded = Loaded(target, candidate, dtype)
        return lambda entry: register_loaded(entry, saved(entry), loaded)
    path = cpp.build(target, candidate, dtype, cache_dir).path
    return lambda entry: register(entry, saved(entry), dtype, accepted.device, path, accepted.digest)


def _bind_entry(
    folder: TargetFolder,
    accepted: Accepted,
    entry: Entry,
    operators: Operators,
    baseline: Callable[..., Any],
    shadow: Shadow | None,
) -> BoundEntry:
    n_saved = len(saved_tensors(accepted.candidate.declared, folder.target, entry.name))
    launches = operators.launches
    launches.watch = watched = None if shadow is None else shadow.watch(folder, entry, n_saved, accepted)
    fallbacks: Counter[str] = Counter()
    adapt: Callable[..., Any] = getattr(folder.module("op"), entry.name)
    kernel = guarded(folder, accepted, entry, operators, watched)
    call = _with_fallback(adapt, baseline, kernel, fallbacks)
    before = Launches(launches.forward, launches.backward, launches.traced)
    return BoundEntry(accepted, entry.name, call, launches, before, fallbacks, watched)


def _with_fallback(
    adapt: Callable[..., Any], baseline: Callable[..., Any], kernel: Callable[..., Any], fallbacks: Counter[str]
) -> Callable[..., Any]:
    """The training callable: the adapter over the kernel, or the baseline where the guards refuse."""
    count = counter(fallbacks)

    @functools.wraps(baseline)
    def call(*arguments: Any, **parameters: Any) -> Any:
        try:
            return adapt(kernel, *arguments, **parameters)
        except OutsideDomain as outside:
            reason = outside.args[0]
        count(reason)
        return baseline(*arguments, **parameters)

    return call


def counter(counts: Counter[str]) -> Callable[[str], None]:
    """Counts a reason: at each call, but once for each trace under torch.compile, where it must leave no trace."""

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def count_traced(reason: str) -> bool:
        counts[TRACED + reason] += 1
        return True

    def count(reason: str) -> None:
        if torch.compiler.is_compiling():
            count_traced(reason)
        else:
            counts[reason] += 1

    return count


def select(*, is_promoted_only: bool, digests: Collection[str] | None) -> Callable[[Accepted], bool]:
    """A predicate for `bind`: only promoted kernels, only those listed, or every accepted one."""

    def is_eligible(accepted: Accepted) -> bool:
        return (accepted.is_promoted or not is_promoted_only) and (digests is None or accepted.digest in digests)

    return is_eligible
