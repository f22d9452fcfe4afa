"""Calls a function with a module right after it was imported: before that there is nothing in it to patch."""

import importlib.abc
import importlib.machinery
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


class PostImport(importlib.abc.MetaPathFinder):
    """Finds some modules as everyone else would, and calls `done` with each after it was executed."""

    def __init__(self, names: Sequence[str], done: Callable[[ModuleType], None]) -> None:
        self._names, self._done = frozenset(names), done

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._done)
        return spec


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any, done: Callable[[ModuleType], None]) -> None:
        self._inner, self._done = inner, done

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._inner.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        self._done(module)

    def __getattr__(self, name: str) -> Any:
        # inspect and linecache ask a loader for more than importing needs.
        return getattr(self._inner, name)
