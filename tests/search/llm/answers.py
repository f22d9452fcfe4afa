"""Thirty answers as models give them, written for the row_sum target of tests/sandbox: a few good, most of them not.

SCRIPT is in the order in which they are given: each an answer and what should become of it: "accepted", "right" (equal,
no faster), a status of the judge that refuses it, or "useless" for an answer that is no proposal.
"""

from tests.sandbox.candidates import BACKWARD, FORWARD, replaced, source

FAST_FORWARD = """\
    for (int64_t n = 0; n < N; n++) {
        const float* row = x + n * D;
        ks::Vec sum{};
        int64_t d = 0;
        for (; d + ks::LANES <= D; d += ks::LANES) sum += ks::load(row + d);
        total[n] = scale * (ks::sum(sum) + ks::sum(ks::load_first(row + d, D - d)));
    }
"""
FAST_BACKWARD = """\
    for (int64_t n = 0; n < N; n++) {
        const ks::Vec value = ks::broadcast(scale * dtotal[n]);
        int64_t d = 0;
        for (; d + ks::LANES <= D; d += ks::LANES) ks::store(dx + n * D + d, value);
        ks::store_first(dx + n * D + d, value, D - d);
    }
"""
SIMD = "#include <kernelsearch/simd.h>\n"
VECTORS = source(before=SIMD, forward=FAST_FORWARD, backward=FAST_BACKWARD)
HALVES = source(before=SIMD, forward=FAST_FORWARD.replace("sum += ks", "sum = sum + ks"), backward=FAST_BACKWARD)
SPY = source(before='#include "/etc/passwd"\n')
ASKS_SYSTEM = source(before="#include <unistd.h>\n", forward="    if (getpid() == 1) return;\n" + FORWARD)
KEEPS_ANSWER = source(
    before="static float kept = 0;\n", forward=FORWARD + "    kept += total[0];\n    if (kept == 1) total[0] = 0;\n"
)
SPECIAL_CASE = replaced("total[n] = scale * sum", "total[n] = D > 200 ? 0 : scale * sum")
SKIPS_WORK = source(forward=FORWARD.replace("d < D; d++", "d < D; d += 2"))


def block(code: str, name: str = "a-kernel", idea: str = "an idea", tag: str = "cpp") -> str:
    return f"name: {name}\nidea: {idea}\n\n```{tag}\n{code}```\n"


def said(code: str, name: str, idea: str) -> str:
    """With the talk around it that models are not asked for."""
    return f"Sure! Here is a faster kernel.\n\n{block(code, name, idea)}\nIt should be about twice as fast."


SCRIPT: list[tuple[str, str]] = [
    ("I would first profile the kernel. Which machine is it?", "useless"),
    (block("this is not C++\n", "broken", "no syntax at all"), "BUILD"),
    (block(replaced("d < D; d++) sum", "d < D / 8 * 8; d++) sum"), "no-tail", "drop the tail"), "MISMATCH"),
    ("", "useless"),
    (
        block(source(forward="    for (int64_t n = 0; n < N; n++) total[n] = 0;\n"), "zeros", "zeros are small"),
        "MISMATCH",
    ),
    (block(VECTORS) + "\n" + block(HALVES), "useless"),
    (block(SPY, "spy", "look around"), "BUILD"),
    (block(ASKS_SYSTEM, "system", "ask the system"), "LINT"),
    (said(VECTORS, "vectors", "whole vectors of a row"), "accepted"),
    (block(VECTORS, "vectors-again", "the same once more"), "useless"),
    (block(replaced("scale * dtotal[n]", "scale * dtotal[0]"), "scalar-upstream", "load once"), "GRADIENT"),
    ("```cpp\nvoid row_sum_forward(", "useless"),
    (block(replaced("total[n] = scale * sum", "total[n] = sum"), "no-scale", "one product less"), "MISMATCH"),
    (block(KEEPS_ANSWER, "keeps", "remember the last answer"), "LINT"),
    (block(SPECIAL_CASE, "special", "large rows are rare"), "MISMATCH"),
    (block(SKIPS_WORK, "half", "every second element"), "MISMATCH"),
    (block("x" * 300_000, "long", "more code"), "useless"),
    (block(source(backward="    (void)dx;\n"), "no-gradient", "leave out the backward"), "GRADIENT"),
    (
        block(replaced("n < N; n++) {\n        float", "n < N - 1; n++) {\n        float"), "last-row", "one row less"),
        "MISMATCH",
    ),
    (block("// tune: STEP in x-1\n" + source(), "bad-tune", "tunables"), "useless"),
    (block(replaced("float sum = 0;", "float sum = 0; *(volatile int*)0 = 1;"), "crash", "prefetch"), "CRASH"),
    ("name: nothing\nidea: an empty block\n\n```cpp\n```\n", "useless"),
    (
        block(replaced("total[n] = scale * sum;", "total[n] = scale * sum; total[N] = 1;"), "beyond", "unroll"),
        "INTEGRITY",
    ),
    (
        block(replaced("sum += x[n * D + d]", "sum += (float)(_Float16)x[n * D + d]"), "halves", "half precision"),
        "MISMATCH",
    ),
    (said(HALVES, "vectors-two", "the compiler may fuse"), "accepted"),
    (block(source(forward=FORWARD.replace("0; d < D", "1; d < D")), "first", "skip the first"), "MISMATCH"),
    ("<think>```cpp\nint x;\n```</think>The kernel cannot be improved any more.", "useless"),
    (block(source(backward=BACKWARD.replace("scale * ", "")), "gradient", "no product"), "GRADIENT"),
    (block(source().replace("row_sum_backward", "row_sum_back"), "misnamed", "shorter name"), "LINT"),
    (block(source(before="int counter;\n"), "state", "count calls"), "LINT"),
]
