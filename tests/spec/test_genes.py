"""Words as values, and declarations that hold for one of them."""

import pytest

from kernelsearch.build.abi import abi_header
from kernelsearch.build.flags import ALLOWED, candidate_flags
from kernelsearch.errors import ContractError
from kernelsearch.search.space import Space
from kernelsearch.spec import Axis, Entry, Target, TensorSpec, read_candidate, saved_tensors, tunable_space

TARGET = Target(
    "t",
    "",
    (
        Entry(
            "f",
            (Axis("N"),),
            (TensorSpec("x", ("N",)),),
            (TensorSpec("y", ("N",)),),
            lambda s, p: 0.0,
            lambda s, p: 0.0,
            gradients=("x",),
        ),
    ),
    {},
)
SOURCE = """\
// tune: BACKWARD in stash recompute
// tune: WIDTH in 1 0
// saves if BACKWARD=stash: kept scalar N
// saves: always float32 N
// flags if WIDTH=1: -mprefer-vector-width=256
// flags: -O2
"""
DEFAULT = read_candidate("t", "cpp", SOURCE, "genes")
OTHER = DEFAULT.bind(BACKWARD="recompute", WIDTH=0)


def names(candidate):
    return [tensor.name for tensor in saved_tensors(candidate.declared, TARGET, "f")]


def test_words_are_values_in_declared_order():
    assert tunable_space(SOURCE) == {"BACKWARD": ("stash", "recompute"), "WIDTH": (1, 0)}


def test_words_and_numbers_are_not_mixed():
    with pytest.raises(ContractError, match="words such as"):
        tunable_space("// tune: A in 1 two\n")


def test_what_is_saved_follows_the_gene():
    assert (names(DEFAULT), names(OTHER)) == (["kept", "always"], ["always"])


def test_flags_follow_the_gene():
    assert (candidate_flags(DEFAULT), candidate_flags(OTHER)) == (("-mprefer-vector-width=256", "-O2"), ("-O2",))


@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-funsafe-math-optimizations", "-o/tmp/x", "-fplugin=x.so"])
def test_a_flag_that_is_not_listed_is_refused(flag):
    with pytest.raises(ContractError, match="choose from -O2"):
        candidate_flags(read_candidate("t", "cpp", f"// flags: {flag}\n", "x"))


def test_no_listed_flag_changes_what_arithmetic_means():
    assert not {flag for flag in ALLOWED if "math" in flag or flag == "-Ofast"}


@pytest.mark.parametrize("condition", ["BACKWARD=stsh", "BAKWARD=stash", "WIDTH=2"])
def test_a_condition_on_what_is_not_declared_is_refused(condition):
    candidate = read_candidate("t", "cpp", SOURCE + f"// saves if {condition}: a scalar N\n", "x")
    with pytest.raises(ContractError, match=condition):
        _ = candidate.declared


@pytest.mark.parametrize("line", ["// saves if BACKWARD: a scalar N", "// flags if WIDTH = = 1: -O2"])
def test_a_condition_that_cannot_be_read_is_refused(line):
    candidate = read_candidate("t", "cpp", SOURCE + line + "\n", "x")
    with pytest.raises(ContractError, match="not settled"):
        saved_tensors(candidate.declared, TARGET, "f")


def test_a_source_whose_conditions_are_not_settled_is_refused():
    with pytest.raises(ContractError, match="not settled"):
        saved_tensors(SOURCE, TARGET, "f")


def test_each_word_is_a_macro_and_one_of_them_is_1():
    header = abi_header(TARGET, OTHER, "float32")
    assert "#define BACKWARD_recompute 1\n#define BACKWARD_stash 0\n#define WIDTH 0\n" in header


def test_the_prototype_follows_the_gene():
    assert ["kept" in abi_header(TARGET, candidate, "float32") for candidate in (DEFAULT, OTHER)] == [True, False]


def test_a_step_in_a_gene_is_to_any_other_word():
    space = Space([read_candidate("t", "cpp", "// tune: A in x y z\n", "a")])
    assert [space.candidate(point).tunables["A"] for point in space.neighbours(space.starts[0])] == ["y", "z"]
