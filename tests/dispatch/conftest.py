"""The small target's kernel, stored and bound; compiled once for the folder's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kernelsearch.dispatch.bind import Binding, bind
from kernelsearch.dispatch.store import Accepted, Store
from tests.dispatch.sample import FOLDER, make_accepted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "library", tmp_path / "state")


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bind_blend(store: Store, cache_dir: Path) -> Callable[..., Binding]:
    """Bind what the store holds; a kernel that needs judging again is an error unless `admit` is given."""

    def run(admit: Callable[[Accepted], bool] | None = None) -> Binding:
        refuse = admit or (lambda accepted: pytest.fail("judged again although nothing changed"))
        return bind([FOLDER], store, device="cpu", dtype="float32", admit=refuse, cache_dir=cache_dir)

    return run


@pytest.fixture
def binding(store: Store, bind_blend: Callable[..., Binding]) -> Binding:
    store.add(make_accepted())
    return bind_blend()
