"""A declared function with the kernel that was accepted for it: `fast = kernelsearch.load("mine.py:scaled_gelu")`.

Inside the shapes that were verified a call runs the kernel, forward and backward; any other call runs the function
itself and is counted by its reason. The trap is silence: `report()` says what ran, and a function without a kernel
warns when it is loaded.
"""

import inspect
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kernelsearch.dispatch.bind import Binding, bind, counter
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.errors import UsageError
from kernelsearch.importer.function import OwnFunction, read_function
from kernelsearch.spec import TargetFolder, library_path
from kernelsearch.verify.case import TORCH_DTYPES

FOLDER = "targets"


@dataclass(frozen=True)
class Swapped:
    """The function, called through its kernels: one for each dtype that has any."""

    function: Callable[..., Any]
    label: str
    bindings: dict[torch.dtype, Binding]
    refused: dict[str, str]
    fallbacks: Counter[str]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._choose(arguments, named)(*arguments, **named)

    def report(self) -> dict[str, Any]:
        """Launches and fallbacks so far by dtype; `reasons` says why a dtype has no kernel."""
        kernels = {str(d).removeprefix("torch."): b.bound[0].report() for d, b in self.bindings.items()}
        return {"kernels": kernels, "reasons": dict(self.refused), "fallbacks": dict(self.fallbacks)}

    def __repr__(self) -> str:
        parts = [binding.summary().removeprefix("kernels: ") for binding in self.bindings.values()]
        parts += [f"itself {count} x {reason}" for reason, count in sorted(self.fallbacks.items())]
        return f"<{self.label}: {'; '.join(parts) or next(iter(self.refused.values()))}>"

    def _choose(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Callable[..., Any]:
        first = next((x for x in (*arguments, *named.values()) if isinstance(x, Tensor)), None)
        binding = None if first is None else self.bindings.get(first.dtype)
        if binding is not None:
            return next(iter(binding.ops.values()))
        dtype = "no tensors" if first is None else str(first.dtype).removeprefix("torch.")
        counter(self.fallbacks)(f"{dtype}: {self.refused.get(dtype, 'kernels take none')}")
        return self.function


def load(function: str | Callable[..., Any], *, state: str | Path = ".kernelsearch") -> Swapped:
    """FILE.py:NAME or a declared function, with its accepted kernels; `state` is where `optimize` kept them.

    A kernel that was judged on another machine, or for an earlier text of the function, is not used.
    """
    found, own = _find(function)
    state_dir = Path(state).resolve()
    folder = TargetFolder(state_dir / FOLDER / found.folder_name)
    bindings: dict[torch.dtype, Binding] = {}
    refused: dict[str, str] = {}
    for dtype, torch_dtype in TORCH_DTYPES.items():
        if not torch_dtype.is_floating_point:
            continue
        if not (folder.path / "target.py").is_file():
            refused[dtype] = f"not optimized as it stands: run `kernelsearch optimize {_named(found)}`"
            continue
        binding = _bind(folder, Store(library_path(), state_dir), dtype, state_dir, own)
        if binding.bound:
            bindings[torch_dtype] = binding
        else:
            refused[dtype] = next(iter(binding.refused.values()))
    if not bindings:
        warnings.warn(f"{found.label} runs as it is: {refused['float32']}", stacklevel=3)
    return Swapped(own, found.label, bindings, refused, Counter())


def _find(function: str | Callable[..., Any]) -> tuple[OwnFunction, Callable[..., Any]]:
    """What the text names, or where the function stands; and what runs outside the kernels' domains."""
    if isinstance(function, str):
        found = read_function(function)
        return found, found.function
    file = inspect.getsourcefile(function)
    if file is None or "." in function.__qualname__:
        raise UsageError(f"function={function.__qualname__}: it must stand at the top of a file")
    return read_function(f"{file}:{function.__name__}"), function


def _named(found: OwnFunction) -> str:
    """The function as a user in this folder would name it."""
    here = Path.cwd()
    file = found.file.relative_to(here) if found.file.is_relative_to(here) else found.file
    return f"{file}:{found.name}"


def _bind(folder: TargetFolder, store: Store, dtype: str, state_dir: Path, own: Callable[..., Any]) -> Binding:
    def is_current(accepted: Accepted) -> bool:
        return accepted.contract_digest == folder.contract_digest and not accepted.needs_rejudging(fingerprint())

    return bind(
        [folder],
        store,
        device="cpu",
        dtype=dtype,
        admit=lambda accepted: False,
        cache_dir=state_dir / "cache",
        is_eligible=is_current,
        baselines={folder.target.name: own},
    )
