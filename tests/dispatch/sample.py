"""An accepted kernel of the small target in `blend/`."""

from pathlib import Path

from kernelsearch.dispatch.fingerprint import fingerprint
from kernelsearch.dispatch.store import Accepted
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
