"""Mutants of C++ sources: what the operators change, and that their choice is the same every time."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kernelsearch.scorecard.edits import apply_edit, find_edits
from kernelsearch.scorecard.handwritten import find_mistakes, mistakes, studied_targets
from kernelsearch.scorecard.mutate import Base, choose_mutants, mutants_of
from kernelsearch.spec import TargetFolder, library_path, target_names

HONEST = Path(__file__).parent.parent / "honest"
SOURCE = """\
#include <cmath>

// for (int64_t j = 0; j < D; j++) a comment is no code
extern "C" void row_backward(const float* x, const float* y, float* out, int64_t N, int64_t D, float scale) {
    for (int64_t n = 0; n < N; n++) {
        float total = 0;
        for (int64_t d = 0; d < D; d++) total += x[n * D + d] * y[d];
        if (total > 1.5f) total = std::sqrt(total);
        out[n] = std::max(scale * total, 0.0f);
    }
}
"""
EXPECTED = {
    "relation swapped": "n <= N;",
    "arithmetic swapped": "x[n * D - d]",
    "operand dropped": "x[n * D]",
    "loop ends early": "d < (D) - 1;",
    "tail dropped": "d < (D) / 8 * 8;",
    "loop starts late": "int64_t d = 0 + 1;",
    "index off by one": "y[d + 1]",
    "index fixed": "y[0]",
    "constant changed": "total > (1.5f * 2)",
    "constant off by a percent": "total > (1.5f * 1.01f)",
    "result off by a percent": "out[n] = (std::max(scale * total, 0.0f)) * 1.01f;",
    "statement dropped": "d < D; d++) ;",
    "branch dropped": "        ;\n        out[n]",
    "condition negated": "if (!(total > 1.5f))",
    "extreme swapped": "std::min(scale * total, 0.0f)",
    "assignment changed": "total = x[n * D + d] * y[d];",
    "sum in bfloat16": "total = mutant::keep_bits<8>(total + (x[n * D + d] * y[d]));",
    "function dropped": "total = (total);",
    "function to 12 bits": "mutant::keep_bits<12>(std::sqrt(total))",
    "wrong loop variable": "x[n * D + n]",
    "wrong tensor": "x[n * D + d] * x[d]",
}


def changed(operator: str) -> list[str]:
    return [apply_edit(SOURCE, edit) for edit in find_edits(SOURCE) if edit.operator == operator]


@pytest.mark.parametrize("operator", EXPECTED)
def test_an_operator_makes_the_change_its_name_says(operator):
    assert any(EXPECTED[operator] in text for text in changed(operator)), changed(operator)


def test_no_operator_yields_the_identical_text():
    assert SOURCE not in [apply_edit(SOURCE, edit) for edit in find_edits(SOURCE)]


def test_comments_are_never_changed():
    assert all(
        "// for (int64_t j = 0; j < D; j++) a comment is no code\n" in apply_edit(SOURCE, e) for e in find_edits(SOURCE)
    )


def test_an_edit_knows_its_function():
    assert {edit.function for edit in find_edits(SOURCE)} == {"row_backward"}


def test_the_rounding_helper_comes_only_with_the_changes_that_need_it():
    assert all(("namespace mutant" in apply_edit(SOURCE, e)) == ("mutant::" in e.text) for e in find_edits(SOURCE))


def test_changes_that_bfloat16_allows_are_made_in_float32_alone():
    in_bfloat16 = {m.operator for m in mutants_of(Base("row_sum", "plain", SOURCE), "bfloat16")}
    assert "function to 12 bits" not in in_bfloat16 and "sum in bfloat16" in in_bfloat16


def test_mutants_of_one_base_are_all_different():
    found = [m.digest for m in mutants_of(Base("row_sum", "plain", SOURCE), "float32")]
    assert len(set(found)) == len(found)


def test_a_mutant_shows_its_line_before_and_after():
    mutant = next(m for m in mutants_of(Base("row_sum", "plain", SOURCE), "float32") if "y[0]" in m.after)
    assert mutant.line == 7 and mutant.before == "for (int64_t d = 0; d < D; d++) total += x[n * D + d] * y[d];"


def test_the_choice_does_not_depend_on_the_order_of_the_bases():
    bases = [Base("row_sum", "one", SOURCE), Base("row_sum", "two", SOURCE.replace("1.5f", "2.5f"))]
    assert choose_mutants(bases, 40) == choose_mutants(bases[::-1], 40)


def test_the_quota_holds_for_each_target_and_dtype():
    bases = [Base("row_sum", "one", SOURCE), Base("other", "two", SOURCE)]
    assert len(choose_mutants(bases, 10)) == 2 * 2 * 10


def test_another_dtype_is_another_mutant():
    mutant = mutants_of(Base("row_sum", "plain", SOURCE), "float32")[0]
    assert replace(mutant, dtype="bfloat16").digest != mutant.digest


@pytest.mark.parametrize("target", sorted(studied_targets()))
def test_each_target_has_mistakes_of_people_that_fit_its_seeds(target):
    fitting = {e.operator for source in seeds(target) for e in find_mistakes(target, source)}
    assert len(fitting) >= (20 if (HONEST / target).is_dir() else 7)


def test_every_target_has_mistakes_of_people():
    assert studied_targets() == set(target_names(library_path()))


@pytest.mark.parametrize("target", sorted(studied_targets()))
def test_a_mistake_changes_the_text_and_no_comment(target):
    base = seeds(target)[0]
    edits = list(find_mistakes(target, base))
    assert edits and all(apply_edit(base, e) != base for e in edits)
    assert not [e for e in edits if "//" in base.encode()[: e.start].decode().rsplit("\n", 1)[-1]]


def test_mistakes_have_names_and_known_dtypes():
    every = [m for target in studied_targets() for m in mistakes(target)]
    assert all(m.name and m.only in (None, "float32", "bfloat16") for m in every)


def seeds(target: str) -> list[str]:
    return list(TargetFolder(library_path() / target).seeds("cpp").values())


def test_without_the_extra_the_message_says_what_to_install():
    code = "import sys; sys.modules['tree_sitter'] = None; import kernelsearch.scorecard.edits"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'kernelsearch[scorecard]'" in done.stderr
