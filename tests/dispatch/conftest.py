"""One accepted kernel of the small target in `blend/`, compiled once for the folder's tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kernelsearch.dispatch.bind import Binding, bind
from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import Accepted, Store
from kernelsearch.spec import Status, TargetFolder, Verdict, read_candidate

FOLDER = TargetFolder(Path(__file__).parent / "blend")
DOMAIN = {"blend": {"N": (1, 64), "D": (4, 4096)}, "nudge": {"L": (1, 1000)}}


def make_accepted(*, low: float = 1.5, unroll: int = 1, **changes: object) -> Accepted:
    candidate = read_candidate("blend", "cpp", FOLDER.seeds("cpp")["plain"], "sweep").bind(UNROLL=unroll)
    verdict = Verdict(
        "blend", candidate.digest, "cpp", "float32", Status.PASSED, "", 1.0,
        accepted=True, speedup=low + 0.1, low=low, high=low + 0.2, equivalence="scaled", domain=DOMAIN,
    )  # fmt: skip
    fields: dict[str, object] = {
        "contract_digest": FOLDER.contract_digest,
        "device": "cpu",
        "dtype": "float32",
        "study": "study-1",
        "trial": 3,
        "proposer": "sweep",
        "verdict": verdict,
        "fingerprint": fingerprint(),
        "date": "2026-11-23T00:00:00Z",
    }
    return Accepted(candidate, **{**fields, **changes})  # type: ignore[arg-type]


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
