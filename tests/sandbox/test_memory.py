"""A candidate's memory watched: races that never strike, steps that hit nothing, values that happen to be zero."""

import pytest

from kernelsearch.sandbox.execution import Execution
from kernelsearch.sandbox.judge import SMALL_REGION_BYTES
from kernelsearch.sandbox.languages import watched
from kernelsearch.verify.check import Domain
from kernelsearch.verify.gates import memory
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
        setting = {"region_bytes": SMALL_REGION_BYTES, "cache_dir": cache_dir, "threads": 2, "rng": rng}
        with Execution(folder.target, made, "float32", language=watched(made), **setting) as run:
            memory(folder, folder.workloads("tiny", "float32"), run, "float32", rng, Domain())

    return look


@pytest.mark.parametrize("name", ORDERED)
def test_what_openmp_orders_is_no_race(look, name):
    look(ORDERED[name])


@pytest.mark.parametrize("name", RACES)
def test_a_race_is_noticed_on_the_first_run(look, name):
    with pytest.raises(CandidateFailure, match="two threads use the same memory") as failure:
        look(RACES[name])
    assert failure.value.status == "DETERMINISM"


SCRATCH = "float* kept = {new};\n" + ROWS + " {{ {use} " + SUM + " }} {free}"
SAFE = {
    "malloc": SCRATCH.format(
        new="(float*)std::malloc(4 * D)", use="kept[D - 1] = 0; total[n] = kept[D - 1];", free="std::free(kept);"
    ),
    "new": SCRATCH.format(new="new float[D]", use="kept[0] = 1; kept[D - 1] = 2;", free="delete[] kept;"),
    "aligned": SCRATCH.format(
        new="(float*)std::aligned_alloc(64, (4 * D + 63) / 64 * 64)", use="kept[D - 1] = 0;", free="std::free(kept);"
    ),
    "calloc is zero": SCRATCH.format(
        new="(float*)std::calloc(D, 4)", use="if (kept[D - 1] != 0) return;", free="std::free(kept);"
    ),
    "an array": "float kept[8]; for (int i = 0; i < 8; i++) kept[i] = scale;" + ROWS + " { " + SUM + " }",
}
UNSAFE = {
    "one number beyond malloc": SAFE["malloc"].replace("kept[D - 1] = 0;", "kept[D + 3] = 0;"),
    "far beyond new": SAFE["new"].replace("kept[D - 1]", "kept[D + 100]"),
    "before an allocation": SAFE["malloc"].replace("kept[D - 1] = 0;", "kept[-2000] = 0;"),
    "a value never written": SAFE["malloc"]
    .replace("kept[D - 1] = 0;", "")
    .replace("float sum = 0;", "float sum = 0 * kept[0];"),
    "an index beyond an array": SAFE["an array"].replace("i < 8", "i < 8 + (N > 0)"),
}


@pytest.mark.parametrize("name", SAFE)
def test_memory_that_is_its_own_may_be_used(look, name):
    look(SAFE[name])


@pytest.mark.parametrize("name", UNSAFE)
def test_steps_and_values_that_are_nobodys_are_noticed(look, name):
    with pytest.raises(CandidateFailure, match="fenced"):
        look(UNSAFE[name])
