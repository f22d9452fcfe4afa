"""Puts patches into upstream's modules, now or when they are imported, and takes them out again.

    patches = Patches(bind_entries)
    patches.install_when_imported()      # or install_loaded(), for what is imported already
    ...
    patches.report(); patches.restore()

A module is patched right after its code ran: before that nothing is there to replace, and later others have copied it.
A symbol whose source is not known is left alone and named; the rest goes on.
"""

import functools
import inspect
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from kernelsearch.digest import digest
from kernelsearch.dispatch.bind import Binding, counter
from kernelsearch.dispatch.upstream.agreement import agree
from kernelsearch.dispatch.upstream.hook import PostImport
from kernelsearch.dispatch.upstream.names import COMMIT, PACKAGE, START, WATCHED
from kernelsearch.dispatch.upstream.source import symbol_digest
from kernelsearch.dispatch.upstream.stock import OPTIONAL, Stock
from kernelsearch.dispatch.upstream.table import PATCHES, SOURCES, STOCK, Patch

# Callables by entry for what a module offers stock for, and the bindings behind them.
BindEntries = Callable[[Stock], tuple[Mapping[str, Callable[..., Any]], Sequence[Binding]]]


@dataclass(frozen=True)
class Installed:
    """A patch in place: how to take it out, and how often it handed a call to the original."""

    patch: Patch
    owner: Any
    original: Any
    fallbacks: Counter[str]


@dataclass
class Patches:
    """The patches of one process. `trusted` are digests that the user vouches for, beside those of the table."""

    bind_entries: BindEntries
    package: str = PACKAGE
    trusted: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = lambda text: print(f"kernelsearch: {text}", file=sys.stderr, flush=True)
    installed: list[Installed] = field(default_factory=list)
    left_alone: dict[str, str] = field(default_factory=dict)
    drifted: dict[str, str | None] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    original_calls: Counter[str] = field(default_factory=Counter)  # by entry, where every call is meant to be one
    _finder: PostImport | None = None

    def install_when_imported(self) -> None:
        """Patch each module as it is imported; those that are loaded already are patched now."""
        self.install_loaded()
        self._finder = PostImport(self._module_names(), self.install_module)
        sys.meta_path.insert(0, self._finder)

    def install_loaded(self) -> None:
        for name in self._module_names():
            if name in sys.modules:
                self.install_module(sys.modules[name])

    def restore(self) -> None:
        """Put every original back; calls in a compiled graph follow at their next guard."""
        if self._finder is not None:
            sys.meta_path.remove(self._finder)
            self._finder = None
        for done in reversed(self.installed):
            setattr(done.owner, done.patch.place.split(".")[-1], done.original)
        self.installed.clear()

    @property
    def digest(self) -> str:
        """Digest of the patches and kernels in place: ranks that disagree on it would compute different things."""
        kernels = [[b.entry, b.accepted.dtype, b.accepted.digest] for binding in self.bindings for b in binding.bound]
        return digest([sorted(kernels), sorted(done.patch.name for done in self.installed)])

    def report(self) -> dict[str, Any]:
        """What was patched, what was left alone and why, and for each kernel launches and fallbacks so far."""
        patched = {done.patch.name: {"fallbacks": dict(done.fallbacks)} for done in self.installed}
        kernels: dict[str, dict[str, Any]] = {}
        reasons: dict[str, str] = {}
        for binding in self.bindings:
            for bound in binding.bound:
                kernels[f"{bound.entry} {bound.accepted.dtype}"] = bound.report()
            reasons |= binding.refused
        running = {name.split()[0] for name in kernels}
        return {
            "upstream": COMMIT,
            "digest": self.digest,
            "patched": patched,
            "left_alone": dict(self.left_alone),
            "drifted": dict(self.drifted),
            "kernels": kernels,
            "reasons": {entry: reason for entry, reason in reasons.items() if entry not in running},
            "original_calls": dict(self.original_calls),
        }

    def _module_names(self) -> tuple[str, ...]:
        return tuple(f"{self.package}.{name}" for name in WATCHED)

    def install_module(self, module: ModuleType) -> None:
        name = module.__name__.removeprefix(f"{self.package}.")
        if name == START[0]:
            self._agree_at_start(module)
            return
        patches = [patch for patch in PATCHES if patch.module == name and self._is_known(patch)]
        if not patches:
            return
        stock = STOCK[name](module)
        calls, bindings = self.bind_entries(stock)
        self.bindings += bindings
        ops = {entry: call for entry, call in stock.items() if entry not in OPTIONAL} | dict(calls)
        for patch in patches:
            if set(patch.entries) & set(calls):
                self._install(patch, module, ops)
            else:
                self.left_alone[patch.name] = "no kernel for it"

    def _install(self, patch: Patch, module: ModuleType, ops: Mapping[str, Callable[..., Any]]) -> None:
        *path, attribute = patch.place.split(".")
        owner = functools.reduce(getattr, path, module)
        original = getattr(owner, attribute)
        fallbacks: Counter[str] = Counter()
        setattr(owner, attribute, patch.make(ops, original, module, counter(fallbacks)))
        self.installed.append(Installed(patch, owner, original, fallbacks))

    def _is_known(self, patch: Patch) -> bool:
        """Whether all that the patch takes for granted has the source it was written against."""
        unknown = [symbol for symbol in patch.reads if not self._is_symbol_known(symbol)]
        if unknown:
            reason = f"{', '.join(unknown)} is not the source this patch was written for ({COMMIT})"
            self.left_alone[patch.name] = reason
            self.say(f"{self.package}.{patch.name} is left alone: {reason}")
        return not unknown

    def _is_symbol_known(self, symbol: str) -> bool:
        module, _, name = symbol.partition(":")
        loaded = sys.modules.get(f"{self.package}.{module}")
        try:
            source = None if loaded is None else inspect.getsource(loaded)
        except (OSError, TypeError):
            source = None
        found = None if source is None else symbol_digest(source, name)
        if found is not None and found in (SOURCES[symbol], self.trusted.get(symbol)):
            return True
        self.drifted[symbol] = found
        return False

    def _agree_at_start(self, module: ModuleType) -> None:
        """Ranks compare their kernels as soon as upstream's start-up has connected them."""
        start: Callable[..., Any] | None = getattr(module, START[1], None)
        if start is None:
            return
        patch = Patch(START[0], START[1], (), lambda ops, original, module, count: original, ())

        @functools.wraps(start)
        def started(*arguments: Any, **named: Any) -> Any:
            result = start(*arguments, **named)
            agree(self.digest)
            return result

        setattr(module, START[1], started)
        self.installed.append(Installed(patch, module, start, Counter()))
