import subprocess

import pytest

from kernelsearch.build import cpp
from kernelsearch.search import templates
from kernelsearch.search.graft import graft
from kernelsearch.spec import Axis, Candidate, Entry, Target, TensorSpec, read_candidate, saved_tensors

X, Y = TensorSpec("x", ("N",)), TensorSpec("y", ("N",))
TARGET = Target(
    "toy",
    "",
    (
        Entry("double", (Axis("N"),), (X,), (Y,), lambda s, p: 0.0, lambda s, p: 0.0, gradients=("x",)),
        Entry("copy", (Axis("N"),), (X,), (Y,), lambda s, p: 0.0),
    ),
    {},
)
SOURCE = """\
// tune: STEP in 1 2
{saves}
#include <cmath>
#define TWICE {twice}
namespace {{
constexpr scalar_t factor = TWICE;
}}
{double_forward} {{
    for (int64_t i = 0; i < N; i += STEP) y[i] = factor * x[i];
}}
extern "C" void double_backward(const scalar_t*, const scalar_t*,{kept} const scalar_t* dy, scalar_t* dx, int64_t N) {{
    for (int64_t i = 0; i < N; i += STEP) dx[i] = factor * dy[i];
}}
extern "C" void copy_forward(const scalar_t* x, scalar_t* y, int64_t N) {{
    for (int64_t i = 0; i < N; i += STEP) y[i] = x[i];
}}
"""


def make_source(name: str, *, saves: bool = False, twice: str = "2.0f") -> Candidate:
    kept = " float* kept," if saves else ""
    text = SOURCE.format(
        saves="// saves double: kept float32 N" if saves else "//",
        twice=twice,
        kept=" const float*," if saves else "",
        double_forward=f'extern "C" void double_forward(const scalar_t* x, scalar_t* y,{kept} int64_t N)',
    )
    return read_candidate("toy", "cpp", text, name)


ONE, OTHER, SAVING = make_source("one"), make_source("other", twice="(1.0f + 1.0f)"), make_source("saving", saves=True)


def parts_of(*seeds: Candidate) -> list[tuple[int, ...]]:
    return [template.parts for template in templates(TARGET, seeds)]


def test_each_function_may_come_from_either_source():
    assert sorted(parts_of(ONE, OTHER)) == [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


def test_a_forward_is_not_paired_with_a_backward_that_reads_other_saved_tensors():
    assert sorted(parts_of(ONE, SAVING)) == [(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)]


def test_the_seeds_come_first_and_as_they_are():
    assert [template.candidate for template in templates(TARGET, [ONE, OTHER])][:2] == [ONE, OTHER]


def test_a_graft_that_is_given_as_a_seed_is_not_made_again():
    given = graft(TARGET, [ONE, OTHER], (0, 1, 0)).candidate
    sources = [template.candidate.source for template in templates(TARGET, [ONE, OTHER, given])]
    assert sources.count(given.source) == 1


def test_three_sources_are_combined_two_at_a_time():
    assert len(parts_of(ONE, OTHER, make_source("third"))) == 3 + 3 * 6


def test_the_saved_tensors_are_those_of_the_function_that_is_taken():
    candidate = graft(TARGET, [ONE, SAVING], (1, 1, 0)).candidate
    assert [tensor.name for tensor in saved_tensors(candidate.source, TARGET, "double")] == ["kept"]


def test_tunables_of_both_sources_are_bound_apart():
    candidate = graft(TARGET, [ONE, OTHER.bind(STEP=2)], (0, 1, 0)).candidate
    assert candidate.tunables == {"from_one_STEP": 1, "from_other_STEP": 2}


@pytest.mark.parametrize(
    "line", ["", "#if 1\n#include <omp.h>\n#endif\n", 'extern "C" void extra(int) {}\n', 'extern "C" { }\n']
)
def test_only_a_source_that_is_plainly_its_functions_is_grafted(line):
    odd = read_candidate("toy", "cpp", line + OTHER.source, "odd")
    assert len(parts_of(ONE, odd)) == (8 if line == "" else 2)


def test_another_language_is_not_grafted():
    assert len(parts_of(ONE, Candidate("toy", "python", OTHER.source, OTHER.tunables))) == 2


def test_a_graft_exports_what_the_contract_wants_and_nothing_else(tmp_path):
    artifact = cpp.build(TARGET, graft(TARGET, [ONE, OTHER], (0, 1, 1)).candidate, "float32", tmp_path)
    listed = subprocess.run(["nm", "-D", "--defined-only", artifact.path], capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    wanted = {"double_forward", "double_backward", "copy_forward"}
    assert {name for name in names if not name.startswith("ks_call_")} == wanted


def test_a_word_of_either_source_is_a_choice_in_the_graft_too(tmp_path):
    worded = OTHER.source.replace("// tune", "// tune: WAY in up down\n// tune", 1).replace(
        "= TWICE", "= WAY_up * TWICE"
    )
    seeds = [ONE, read_candidate("toy", "cpp", worded, "other").bind(WAY="down", STEP=1)]
    made = graft(TARGET, seeds, (0, 1, 0)).candidate
    assert made.tunables["from_other_WAY"] == "down"
    cpp.build(TARGET, made, "float32", tmp_path)


def test_a_source_whose_tunable_only_a_header_reads_is_not_grafted():
    deaf = read_candidate("toy", "cpp", "// tune: GEMM_TASKS in 6 3\n" + OTHER.source, "deaf")
    assert len(parts_of(ONE, deaf)) == 2


@pytest.mark.parametrize("parts", [(0, 1, 0), (1, 0, 1)])
def test_a_graft_has_the_code_of_the_functions_that_it_names(parts):
    marked = [mark(ONE), mark(OTHER)]
    exported = graft(TARGET, marked, parts).candidate.source.split('extern "C"')[1:]
    found = [text.split("/* ")[1].split(" */")[0] for text in exported]
    assert sorted(found) == sorted(("one", "other")[part] for part in parts)


def mark(seed: Candidate) -> Candidate:
    """The seed with its name in the body of each function."""
    return read_candidate("toy", "cpp", seed.source.replace("i += STEP", f"i += STEP /* {seed.origin} */"), seed.origin)
