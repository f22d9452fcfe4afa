"""Sources for the row_sum target: an honest one, and wrong ones made by replacing a line of it."""

FORWARD = (
    "    for (int64_t n = 0; n < N; n++) {\n"
    "        float sum = 0;\n"
    "        for (int64_t d = 0; d < D; d++) sum += x[n * D + d];\n"
    "        total[n] = scale * sum;\n"
    "    }\n"
)
BACKWARD = (
    "    for (int64_t n = 0; n < N; n++)\n        for (int64_t d = 0; d < D; d++) dx[n * D + d] = scale * dtotal[n];\n"
)
HEAD = "#include <cstdlib>\n#include <cstring>\n"


def source(*, before: str = "", forward: str = FORWARD, backward: str = BACKWARD) -> str:
    return (
        f'{HEAD}{before}\nextern "C" {{\n'
        "void row_sum_forward(const float* x, float* total, int64_t N, int64_t D, float scale) {\n"
        f"{forward}}}\n"
        "void row_sum_backward(const float*, const float*, const float* dtotal, float* dx, int64_t N, int64_t D,\n"
        "                      float scale) {\n"
        f"{backward}}}\n}}\n"
    )


def replaced(old: str, new: str) -> str:
    text = source()
    assert old in text
    return text.replace(old, new)


HONEST = source()
REORDERED = replaced("sum += x[n * D + d]", "sum += x[n * D + (D - 1 - d)]")

# name: (source, statuses that may end it)
WRONG = {
    "zeros": (source(forward="    std::memset(total, 0, N * 4);\n"), {"MISMATCH"}),
    "nothing written": (source(forward="    (void)x;\n"), {"MISMATCH"}),
    "dropped tail": (replaced("d < D; d++) sum", "d < D / 8 * 8; d++) sum"), {"MISMATCH"}),
    "first element missing": (
        replaced("int64_t d = 0; d < D; d++) sum", "int64_t d = 1; d < D; d++) sum"),
        {"MISMATCH"},
    ),
    "last row missing": (replaced("n < N; n++) {\n        float", "n < N - 1; n++) {\n        float"), {"MISMATCH"}),
    "scale forgotten": (replaced("total[n] = scale * sum", "total[n] = sum"), {"MISMATCH"}),
    "low precision": (
        replaced("sum += x[n * D + d]", "sum += (float)(_Float16)x[n * D + d]"),
        {"MISMATCH"},
    ),
    "wrong gradient": (replaced("dx[n * D + d] = scale * dtotal[n]", "dx[n * D + d] = dtotal[n]"), {"GRADIENT"}),
    "scalar upstream": (replaced("scale * dtotal[n]", "scale * dtotal[0]"), {"GRADIENT"}),
    "additive drift": (replaced("total[n] = scale * sum", "total[n] = scale * sum + 1e-3f"), {"MISMATCH"}),
    "writes after its output": (
        replaced("total[n] = scale * sum;", "total[n] = scale * sum; total[N] = 1;"),
        {"INTEGRITY"},
    ),
    "writes before its output": (
        replaced("total[n] = scale * sum;", "total[n] = scale * sum; total[-1] = 1;"),
        {"INTEGRITY"},
    ),
    "writes its input": (replaced("total[n] = scale * sum;", "total[n] = scale * sum; ((float*)x)[0] = 1;"), {"CRASH"}),
    "null pointer": (replaced("float sum = 0;", "float sum = 0; *(volatile int*)0 = 1;"), {"CRASH"}),
    "abort": (replaced("float sum = 0;", "float sum = 0; std::abort();"), {"CRASH"}),
    "endless recursion": (
        source(
            before="int deep(volatile int* n) { volatile int m[999]; m[0] = *n; return deep(m) + m[0]; }\n",
            forward="    volatile int z = 0; total[0] = deep(&z);\n" + FORWARD,
        ),
        {"CRASH"},
    ),
    "memory bomb": (
        replaced(
            "float sum = 0;",
            "float sum = 0; for (int i = 0; i < 64; i++) std::memset(std::malloc(1 << 28), 1, 1 << 28);",
        ),
        {"CRASH"},
    ),
    "random results": (
        replaced("total[n] = scale * sum", "total[n] = scale * sum * (1 + 1e-7f * ((long)std::malloc(64) >> 12 & 1))"),
        {"DETERMINISM", "MISMATCH", "PROPERTY"},
    ),
    "does not compile": (replaced("float sum = 0;", "float sum = zero;"), {"BUILD"}),
    "other prototype": (
        replaced("const float* x, float* total, int64_t N", "const double* x, float* total, int64_t N"),
        {"BUILD"},
    ),
    "exports nothing": ("// nothing\n", {"LINT"}),
    "keeps state": (source(before="static int calls;\n", forward="    if (calls++ > 9) return;\n" + FORWARD), {"LINT"}),
    "thread-local state": (
        source(before="static thread_local int calls;\n", forward="    if (calls++ > 9) return;\n" + FORWARD),
        {"LINT"},
    ),
    "constructor": (
        source(before="__attribute__((constructor)) static void early() { volatile int x = 1; (void)x; }\n"),
        {"LINT"},
    ),
    "opens a file": (
        source(
            before='extern "C" int open(const char*, int, ...);\n',
            forward='    total[0] = open("/etc/passwd", 0);\n' + FORWARD,
        ),
        {"LINT"},
    ),
    "starts a program": (source(forward='    total[0] = std::system("true");\n' + FORWARD), {"LINT"}),
}

# What the linker cannot see: system calls made by hand. Each must end in the runner's filter.
SYSTEM_CALLS = {
    "fork": 57,
    "execve": 59,
    "socket": 41,
    "ptrace": 101,
    "kill": 62,
    "unlink": 87,
    "setuid": 105,
    "open_by_name": 2,
}


def with_system_call(number: int) -> str:
    before = (
        'static long raw(long n) { long r; register long a10 asm("r10") = 0;\n'
        '    asm volatile("syscall" : "=a"(r) : "a"(n), "D"(0L), "S"(0L), "d"(0L), "r"(a10) : "rcx", "r11");\n'
        "    return r; }\n"
    )
    return source(before=before, forward=f"    total[0] = raw({number});\n" + FORWARD)
