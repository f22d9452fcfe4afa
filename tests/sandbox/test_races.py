"""Two threads on the same memory: noticed even where they never meet in time, and only there."""

import pytest

from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.judge import SMALL_REGION_BYTES
from kernelsearch.sandbox.languages import race_detector_for
from kernelsearch.verify.gates import races
from kernelsearch.verify.run import CandidateFailure
from tests.sandbox.candidates import source

ROWS = "for (int64_t n = 0; n < N; n++)"
SUM = "float sum = 0; for (int64_t d = 0; d < D; d++) sum += x[n * D + d]; total[n] = scale * sum;"
SHARED = "float all = 0;\n{pragma}\n{rows} {{ {sum} {touch} }} total[0] += 0 * all;"


def shared(pragma: str, touch: str) -> str:
    return SHARED.format(pragma=pragma, rows=ROWS, sum=SUM, touch=touch)


ORDERED = {
    "rows apart": f"#pragma omp parallel for\n{ROWS} {{ {SUM} }}",
    "rows drawn at run time": f"#pragma omp parallel for schedule(dynamic, 1)\n{ROWS} {{ {SUM} }}",
    "a reduction": shared("#pragma omp parallel for reduction(+ : all)", "all += sum;"),
    "a critical section": shared("#pragma omp parallel for", "\n#pragma omp critical\n all += sum;"),
    "an atomic update": shared("#pragma omp parallel for", "\n#pragma omp atomic\n all += sum;"),
    "a barrier between": (
        f"#pragma omp parallel\n{{\n#pragma omp for\n{ROWS} {{ {SUM} }}\n#pragma omp for\n"
        "for (int64_t n = 0; n < N; n++) total[n] += 0 * x[(N - 1 - n) * D] ; }"
    ),
    "reading what another region wrote": (
        f"#pragma omp parallel for\n{ROWS} {{ {SUM} }}\n#pragma omp parallel for\n"
        "for (int64_t n = 0; n < N / 2; n++) total[n] += 0 * total[N - 1 - n];"
    ),
}
RACES = {
    "a lost update": shared("#pragma omp parallel for", "all += sum;"),
    "an element that two rows write": f"#pragma omp parallel for\n{ROWS} {{ {SUM} total[n / 2] = scale * sum; }}",
    "a shared scratch": "float sum;\n#pragma omp parallel for\n" + ROWS + " { " + SUM.removeprefix("float ") + " }",
    "no barrier between": (
        f"#pragma omp parallel\n{{\n#pragma omp for nowait\n{ROWS} {{ {SUM} }}\n#pragma omp for\n"
        "for (int64_t n = 0; n < N; n++) total[n] += 0 * total[N - 1 - n]; }"
    ),
    "only one side locks": shared(
        "#pragma omp parallel for", "if (n % 2)\n#pragma omp critical\n all += sum;\n else all += sum;"
    ),
}


@pytest.fixture
def look(folder, candidate, cache_dir, rng):
    def look(forward: str) -> None:
        made = candidate(source(forward=forward + "\n"))
        detector = race_detector_for(folder.target, made, "float32", cache_dir)
        setting = {"region_bytes": SMALL_REGION_BYTES, "cache_dir": cache_dir, "threads": 2, "rng": rng}
        with Execution(folder.target, made, "float32", language=detector, **setting) as run:
            races(folder, folder.workloads("tiny", "float32"), run, "float32", rng)

    return look


@pytest.mark.parametrize("name", ORDERED)
def test_what_openmp_orders_is_no_race(look, name):
    look(ORDERED[name])


@pytest.mark.parametrize("name", RACES)
def test_a_race_is_noticed_on_the_first_run(look, name):
    with pytest.raises(CandidateFailure, match="two threads use the same memory") as failure:
        look(RACES[name])
    assert failure.value.status == "DETERMINISM"


def test_a_kernel_without_threads_needs_no_detector(folder, candidate, cache_dir):
    assert race_detector_for(folder.target, candidate(source()), "float32", cache_dir) is None
