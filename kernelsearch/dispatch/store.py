"""Accepted kernels on disk: the library that ships with the targets, read-only, and the user's own store before it.

    kernels/<target>/accepted/<device>-<language>-<dtype>[-<group>]/ library
    <state>/store/<target>/<device>-<language>-<dtype>-<digest12>/   user

Each folder holds the kernel's source and `provenance.json`. A folder appears whole or not at all. Source and tunables
are checked against the recorded digest at every reading, because what is read here is compiled and runs in training.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kernelsearch.dispatch.fingerprint import NOT_COMPARED
from kernelsearch.errors import CorruptState, UsageError
from kernelsearch.spec import Candidate, Verdict, verdict_from_json
from kernelsearch.spec.library import SUFFIXES

PROVENANCE = "provenance.json"
Domain = Mapping[str, Mapping[str, tuple[int, int]]]


@dataclass(frozen=True)
class Accepted:
    """A kernel that passed every gate and beat the baseline, with what is needed to check that claim again.

    `proposer` is also the candidate's origin; `date` is ISO 8601 in UTC; `folder` is where it was read from. `behind`
    holds the speedup over each rival that `bench` found clearly faster, by workload and rival: such a kernel is not
    promoted.
    """

    candidate: Candidate
    contract_digest: str
    device: str
    dtype: str
    study: str
    trial: int
    proposer: str
    verdict: Verdict
    fingerprint: Mapping[str, str]
    date: str
    is_promoted: bool = False
    behind: Mapping[str, float] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def digest(self) -> str:
        return self.candidate.digest

    @property
    def low(self) -> float:
        """Lower end of the interval of the speedup: what kernels are ranked by."""
        assert self.verdict.low is not None, "an accepted verdict has an interval"
        return self.verdict.low

    def needs_rejudging(self, fingerprint: Mapping[str, str]) -> bool:
        """Whether this kernel was judged where anything but the harness was another."""
        return bool(self.differences(fingerprint))

    def differences(self, fingerprint: Mapping[str, str]) -> list[str]:
        """What is not as it was where this kernel was judged, the harness left out."""
        return [key for key, value in fingerprint.items() if key != NOT_COMPARED and self.fingerprint.get(key) != value]

    def as_json(self) -> dict[str, Any]:
        return {
            "target": self.candidate.target,
            "contract_digest": self.contract_digest,
            "language": self.candidate.language,
            "device": self.device,
            "dtype": self.dtype,
            "tunables": dict(self.candidate.tunables),
            "digest": self.digest,
            "study": self.study,
            "trial": self.trial,
            "proposer": self.proposer,
            "verdict": self.verdict.as_json(),
            "fingerprint": dict(self.fingerprint),
            "promoted": self.is_promoted,
            "behind": dict(self.behind),
            "date": self.date,
        }


@dataclass(frozen=True)
class Store:
    """Accepted kernels of the target library at `library` and of the state folder `state_dir` (".kernelsearch")."""

    library: Path
    state_dir: Path

    def kernels(self, target: str, device: str, dtype: str) -> tuple[Accepted, ...]:
        """The user's kernels, then the library's; a user's copy stands for a library kernel of the same digest."""
        found: dict[str, Accepted] = {}
        for root in (self.state_dir / "store" / target, self.library / target / "accepted"):
            for file in sorted(root.glob(f"[!.]*/{PROVENANCE}")):
                accepted = read_accepted(file.parent)
                if (accepted.candidate.target, accepted.device, accepted.dtype) == (target, device, dtype):
                    found.setdefault(accepted.digest, accepted)
        return tuple(found.values())

    def best(
        self, target: str, device: str, dtype: str, is_eligible: Callable[[Accepted], bool] = lambda accepted: True
    ) -> Accepted | None:
        """The eligible kernel with the highest lower end of its speedup; the user's before the library's at equal."""
        eligible = [accepted for accepted in self.kernels(target, device, dtype) if is_eligible(accepted)]
        return max(eligible, key=lambda accepted: accepted.low, default=None)

    def add(self, accepted: Accepted) -> Accepted:
        """Write `accepted` into the user's store, whole or not at all; it is returned with its folder.

        A kernel that is there already gets the new provenance, and keeps its promotion and its rivals. What was judged
        there under the same conditions still holds: its other workloads stay, where one domain lies within the other.
        """
        verdict = accepted.verdict
        if not verdict.accepted or verdict.low is None or verdict.digest != accepted.digest:
            raise UsageError(f"digest={accepted.digest}: only a kernel that its verdict accepts can be stored")
        folder = self._folder(accepted)
        if folder.is_dir():
            known = read_accepted(folder)
            is_promoted = accepted.is_promoted or known.is_promoted
            accepted = replace(accepted, is_promoted=is_promoted, behind=accepted.behind or known.behind)
            if known.contract_digest == accepted.contract_digest and not known.needs_rejudging(accepted.fingerprint):
                accepted = replace(accepted, verdict=_join(known.verdict, accepted.verdict))
            _replace_file(folder / PROVENANCE, _text(accepted))
        else:
            _write_folder(folder, accepted)
        return replace(accepted, folder=folder)

    def set_promoted(self, accepted: Accepted, *, is_promoted: bool) -> Accepted:
        return self._mark(replace(accepted, is_promoted=is_promoted))

    def set_behind(self, accepted: Accepted, behind: Mapping[str, float]) -> Accepted:
        """Note the rivals that are ahead; with any, the kernel is promoted no longer."""
        return self._mark(replace(accepted, behind=behind, is_promoted=accepted.is_promoted and not behind))

    def _mark(self, marked: Accepted) -> Accepted:
        """Write marks into the user's store; a library kernel is copied there first and left untouched."""
        folder = self._folder(marked)
        if not folder.is_dir():
            return self.add(marked)
        _replace_file(folder / PROVENANCE, _text(marked))
        return replace(marked, folder=folder)

    def _folder(self, accepted: Accepted) -> Path:
        candidate = accepted.candidate
        name = f"{accepted.device}-{candidate.language}-{accepted.dtype}-{accepted.digest[:12]}"
        return self.state_dir / "store" / candidate.target / name


def read_accepted(folder: Path) -> Accepted:
    """The kernel in `folder`; raises CorruptState where source and provenance do not belong together."""
    try:
        value = json.loads((folder / PROVENANCE).read_text())
        source = (folder / f"kernel{SUFFIXES[value['language']]}").read_text()
        candidate = Candidate(value["target"], value["language"], source, value["tunables"], value["proposer"])
        verdict = verdict_from_json(value["verdict"])
        accepted = Accepted(
            candidate=candidate,
            contract_digest=value["contract_digest"],
            device=value["device"],
            dtype=value["dtype"],
            study=value["study"],
            trial=value["trial"],
            proposer=value["proposer"],
            verdict=verdict,
            fingerprint=value["fingerprint"],
            date=value["date"],
            is_promoted=value["promoted"],
            behind=value.get("behind", {}),
            folder=folder,
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise CorruptState(f"{folder}: cannot be read as an accepted kernel ({error!r}); {_WAY_OUT}") from None
    if not accepted.digest == value["digest"] == verdict.digest or not verdict.accepted or verdict.low is None:
        raise CorruptState(f"{folder}: source and tunables are not what {PROVENANCE} records; {_WAY_OUT}")
    return accepted


def _join(old: Verdict, new: Verdict) -> Verdict:
    """`new`, with the measurements of workloads that only `old` has, over the wider domain.

    `new` alone where neither domain holds the other: a range that spans both would cover shapes that nobody verified.
    """
    wider = next((a for a, b in ((new, old), (old, new)) if _holds(a.domain, b.domain)), None)
    if wider is None:
        return new
    names = {m.workload for m in new.measurements}
    kept = tuple(m for m in old.measurements if m.workload not in names)
    return replace(new, measurements=(*new.measurements, *kept), domain=wider.domain)


def _holds(outer: Domain, inner: Domain) -> bool:
    missing = (0, -1)
    return all(
        outer.get(entry, {}).get(axis, missing)[0] <= low and high <= outer.get(entry, {}).get(axis, missing)[1]
        for entry, axes in inner.items()
        for axis, (low, high) in axes.items()
    )


def _write_folder(folder: Path, accepted: Accepted) -> None:
    """Write a hidden folder beside `folder` and rename it: a reader never sees a part, a failure leaves nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        scratch.chmod(0o755)
        _write_file(scratch / f"kernel{SUFFIXES[accepted.candidate.language]}", accepted.candidate.source)
        _write_file(scratch / PROVENANCE, _text(accepted))
        os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace_file(file: Path, text: str) -> None:
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        _write_file(scratch, text)
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)


def _write_file(file: Path, text: str) -> None:
    with file.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _text(accepted: Accepted) -> str:
    return json.dumps(accepted.as_json(), indent=2, sort_keys=True, allow_nan=False) + "\n"


_WAY_OUT = "delete that folder, or restore it from version control, and run again"
