"""The store of accepted kernels."""

import errno
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import Accepted, Store, read_accepted
from kernelsearch.errors import CorruptState, UsageError
from kernelsearch.spec import Measurement
from tests.dispatch.sample import DOMAIN, make_accepted


def as_library_kernel(store: Store, accepted: Accepted) -> Path:
    """Move the stored kernel to where the library keeps its own."""
    stored = store.add(accepted)
    folder = store.library / "blend" / "accepted" / "cpu-cpp-float32"
    assert stored.folder is not None
    folder.parent.mkdir(parents=True)
    shutil.move(stored.folder, folder)
    return folder


def best(store: Store) -> Accepted | None:
    return store.best("blend", "cpu", "float32")


def test_what_is_added_is_read_back(store: Store):
    added = store.add(make_accepted())
    assert best(store) == added


def test_the_folder_is_named_by_device_language_dtype_and_digest(store: Store):
    added = store.add(make_accepted())
    wanted = store.state_dir / "store" / "blend" / f"cpu-cpp-float32-{added.digest[:12]}"
    assert added.folder == wanted
    assert sorted(file.name for file in wanted.iterdir()) == ["kernel.cpp", "provenance.json"]


def test_best_has_the_highest_lower_end(store: Store):
    store.add(make_accepted(low=1.2))
    store.add(make_accepted(low=1.4, unroll=4))
    found = best(store)
    assert found is not None and found.low == 1.4


def test_the_users_kernel_comes_before_the_library_at_equal_speed(store: Store):
    as_library_kernel(store, make_accepted())
    mine = store.add(make_accepted(unroll=4))
    assert best(store) == mine


def test_a_kernel_behind_a_rival_is_no_longer_promoted(store: Store):
    promoted = store.set_promoted(store.add(make_accepted()), is_promoted=True)
    store.set_behind(promoted, {"tiny/blend compile": 0.9})
    found = best(store)
    assert found is not None and found.behind == {"tiny/blend compile": 0.9} and not found.is_promoted
    store.set_behind(found, {})
    found = best(store)
    assert found is not None and not found.behind and not found.is_promoted


def test_a_kernel_that_is_found_again_keeps_its_rivals(store: Store):
    store.set_behind(store.add(make_accepted()), {"tiny/blend compile": 0.9})
    assert store.add(make_accepted(low=1.5)).behind == {"tiny/blend compile": 0.9}


def test_another_dtype_is_another_kernel(store: Store):
    store.add(make_accepted())
    assert store.best("blend", "cpu", "bfloat16") is None


def measured(accepted: Accepted, workload: str, rows: int, columns: int = 4096) -> Accepted:
    row = Measurement(workload, "float32", "forward", 1.5, 1.4, 1.6, 1.0, 1.5, 0.1, 0.01, 12, 1.0)
    domain = {**DOMAIN, "blend": {**DOMAIN["blend"], "N": (1, rows), "D": (4, columns)}}
    return replace(accepted, verdict=replace(accepted.verdict, measurements=(row,), domain=domain))


def test_a_kernel_that_wins_at_other_shapes_keeps_what_was_judged_before(store: Store):
    store.add(measured(make_accepted(), "small/blend", 64))
    store.add(measured(make_accepted(), "large/blend", 256))
    store.add(measured(make_accepted(), "small/blend", 64))
    found = best(store)
    assert found is not None and found.verdict.domain["blend"]["N"] == (1, 256)
    assert [m.workload for m in found.verdict.measurements] == ["small/blend", "large/blend"]


def test_domains_that_overlap_are_not_joined(store: Store):
    store.add(measured(make_accepted(), "tall/blend", 256, 64))
    added = store.add(measured(make_accepted(), "wide/blend", 64, 4096))
    assert added.verdict.domain["blend"] == {"N": (1, 64), "D": (4, 4096)}
    assert [m.workload for m in added.verdict.measurements] == ["wide/blend"]


def test_what_was_judged_by_another_compiler_is_not_kept(store: Store):
    store.add(measured(make_accepted(fingerprint={**fingerprint(), "compiler": "old"}), "large/blend", 256))
    added = store.add(measured(make_accepted(), "small/blend", 64))
    assert added.verdict.domain["blend"]["N"] == (1, 64)


def test_promotion_is_kept_when_a_kernel_is_added_again(store: Store):
    store.set_promoted(store.add(make_accepted()), is_promoted=True)
    assert store.add(make_accepted(trial=9)).is_promoted
    found = best(store)
    assert found is not None and (found.is_promoted, found.trial) == (True, 9)


def test_demoting_a_library_kernel_leaves_the_library_alone(store: Store):
    folder = as_library_kernel(store, make_accepted(is_promoted=True))
    store.set_promoted(read_accepted(folder), is_promoted=False)
    assert read_accepted(folder).is_promoted
    assert store.best("blend", "cpu", "float32", lambda accepted: accepted.is_promoted) is None


def test_edited_source_is_refused_with_the_folder_named(store: Store):
    folder = store.add(make_accepted()).folder
    assert folder is not None
    (folder / "kernel.cpp").write_text("void blend_forward() {}")
    with pytest.raises(CorruptState, match=f"{folder}.*delete that folder"):
        best(store)


@pytest.mark.parametrize(
    ("old", "new"), [('"UNROLL": 1', '"UNROLL": 4'), ('"accepted": true', '"accepted": false'), ("{", "")]
)
def test_edited_provenance_is_refused(store: Store, old: str, new: str):
    folder = store.add(make_accepted()).folder
    assert folder is not None
    file = folder / "provenance.json"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(CorruptState, match="delete that folder"):
        best(store)


def test_a_rejected_kernel_cannot_be_stored(store: Store):
    accepted, other = make_accepted(), make_accepted(unroll=4)
    with pytest.raises(UsageError, match="only a kernel that its verdict accepts"):
        store.add(Accepted(**{**vars(accepted), "verdict": other.verdict}))


def test_a_full_disk_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch):
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        store.add(make_accepted())
    assert list((store.state_dir / "store" / "blend").iterdir()) == []


def test_a_store_killed_while_writing_reads_as_if_nothing_had_been_written(store: Store):
    child = os.fork()
    if child == 0:
        os.rename = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        store.add(make_accepted())
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(list((store.state_dir / "store" / "blend").iterdir())) == 1
    assert best(store) is None
    assert store.add(make_accepted()) == best(store)


def test_only_what_a_kernel_runs_on_makes_it_stale():
    accepted = make_accepted()
    assert not accepted.needs_rejudging({**fingerprint(), "harness": "another"})
    assert accepted.needs_rejudging({**fingerprint(), "compiler": "g++ 99"})
