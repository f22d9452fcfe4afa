"""The lint of the object: what a kernel must not contain is refused, with the way to write it instead."""

import platform
from pathlib import Path

import pytest

from kernelsearch.build import cpp
from kernelsearch.build.abi import functions
from kernelsearch.build.elf import instructions, read_elf
from kernelsearch.build.lint import lint_artifact
from kernelsearch.errors import BuildError, ContractError
from kernelsearch.spec import TargetFolder, read_candidate

FOLDER = TargetFolder(Path(__file__).parent.parent / "sandbox" / "row_sum")
SEED = FOLDER.seeds("cpp")["plain"]
# Without headers, so that a compilation is short.
SHORT = """
void row_sum_forward(const scalar_t*, scalar_t*, int64_t, int64_t, float) {}
void row_sum_backward(const scalar_t*, const scalar_t*, const scalar_t*, scalar_t*, int64_t, int64_t, float) {}
"""
EXPORTED = [f.symbol for f in functions(FOLDER.target, SEED)]
only_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="instructions of x86-64")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


def lint(lines: str, cache: Path) -> None:
    source = f"{SHORT}#pragma GCC visibility push(default)\n{lines}\n"
    artifact = cpp.build(FOLDER.target, read_candidate("row_sum", "cpp", source, "test"), "float32", cache)
    lint_artifact(artifact.path, EXPORTED)


HONEST = {
    "nothing more": "",
    "a static table": "static const float table[4] = {1, 2, 3, 4}; static float at(int i) { return table[i & 3]; }",
    "a table of pointers": (
        'static const char* const names[] = {"a", "b"};\n'
        "__attribute__((used)) static const char* name(int i) { return names[i & 1]; }"
    ),
    "a vector": "#include <vector>\n"
    "__attribute__((used)) static float sum(int n) { std::vector<float> v(n); return v[n / 2]; }",
    "a prefetch and a pause": (
        "__attribute__((used)) static void warm(const float* p) { __builtin_prefetch(p); __builtin_ia32_pause(); }"
    ),
    "a trap": "__attribute__((used)) static void stop() { __builtin_trap(); }",
}


@pytest.mark.parametrize("name", HONEST)
def test_what_honest_kernels_contain_passes(name, cache):
    lint(HONEST[name], cache)


FORBIDDEN = {
    "a static counter": ("static int calls; int count() { return calls++; }", "bytes of state|__tls_get_addr"),
    "initialised state": ("static int left = 9; int count() { return left--; }", "keeps 4 bytes of state"),
    "thread-local state": (
        "static thread_local int calls; int count() { return calls++; }",
        "bytes of state|__tls_get_addr",
    ),
    "state in a section of its own": (
        '__attribute__((section("quiet"))) static int left = 9; int count() { return left--; }',
        "section quiet",
    ),
    "state named like sealed data": (
        '__attribute__((section(".data.rel.rox"))) static int left = 9; int count() { return left--; }',
        "keeps",
    ),
    "a constructor": ("__attribute__((constructor)) void early() {}", "runs code when it is loaded"),
    "a dynamic initialiser": (
        "int pick(); const int chosen = pick(); int pick() { return chosen; }",
        "runs code|keeps",
    ),
    "an _init of its own": ('extern "C" void _init() {}', "_init"),
    "a foreign call": ('extern "C" int puts(const char*); int say() { return puts("x"); }', "calls puts"),
    "a clock by a library": (
        'extern "C" double omp_get_wtime(); double now() { return omp_get_wtime(); }',
        "omp_get_wtime",
    ),
    "an ifunc": (
        'extern "C" void* choose() { return nullptr; }\nextern "C" int chosen() __attribute__((ifunc("choose")));',
        "ifunc",
    ),
    "a hidden ifunc": (
        """extern "C" { static void* choose() { return nullptr; }
        static int chosen() __attribute__((ifunc("choose"))); }
        int use() { return chosen(); }""",
        "ifunc",
    ),
    "another export": ("int helper(int x) { return x + 1; }", "exports _Z6helperi"),
    "its own memcpy": (
        'extern "C" void* memcpy(void* a, const void*, __SIZE_TYPE__) noexcept { return a; }',
        "defines memcpy itself",
    ),
    "its own hidden malloc": (
        'extern "C" __attribute__((visibility("hidden"), used)) void* malloc(__SIZE_TYPE__) { return nullptr; }',
        "defines malloc itself",
    ),
    "its own OpenMP": ('extern "C" void GOMP_barrier() {}', "defines GOMP_barrier itself"),
    "an executable stack": ('asm(".section .note.GNU-stack,\\"x\\",@progbits\\n.text");', "executable stack"),
    "writable code": ('asm(".section .both,\\"awx\\",@progbits\\nnop\\n.text");', "keeps|both writable"),
    "too much": ("extern const char big[9 << 20]; const char big[9 << 20] = {1};", "at most 8388608"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_kernel_must_not_contain_is_refused(name, cache):
    lines, complaint = FORBIDDEN[name]
    with pytest.raises((ContractError, BuildError), match=complaint):
        lint(lines, cache)


INSTRUCTIONS = [
    "syscall",
    "sysenter",
    "int $0x80",
    "rdtsc",
    "rdtscp",
    "rdpmc",
    "cpuid",
    "rdrand %rax",
    "rdseed %rax",
    "ldmxcsr (%rsp)",
    "vldmxcsr (%rsp)",
    "fldcw (%rsp)",
    "wrfsbase %rax",
    "wrgsbase %rax",
    "wrpkru",
    "xrstor (%rsp)",
    "xbegin .",
    "rep insb",
    "mov %eax, %fs:0x300",
    "mov %gs:8, %rax",
    ".byte 0x06",
]


@only_x86
@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_a_forbidden_instruction_is_refused(instruction, cache):
    with pytest.raises(ContractError, match="the instruction"):
        lint(f'__attribute__((used)) static void hidden() {{ asm volatile("{instruction}"); }}', cache)


@only_x86
def test_a_forbidden_byte_pair_inside_a_constant_is_no_instruction(cache):
    lint(
        '__attribute__((used)) static int odd() { int x; asm volatile("mov $0x050f310f, %0" : "=r"(x)); return x; }',
        cache,
    )


def test_the_seed_passes(cache):
    artifact = cpp.build(FOLDER.target, read_candidate("row_sum", "cpp", SEED, "test"), "bfloat16", cache)
    lint_artifact(artifact.path, EXPORTED)


def test_the_reader_sees_sections_symbols_and_instructions(cache):
    artifact = cpp.build(FOLDER.target, read_candidate("row_sum", "cpp", SEED, "test"), "float32", cache)
    elf = read_elf(artifact.path)
    assert {".text", ".dynsym", ".dynamic"} <= {s.name for s in elf.sections}
    assert {"GNU_STACK", "GNU_RELRO", "LOAD"} <= {s.kind for s in elf.segments}
    assert "row_sum_forward" in {s.name for s in elf.symbols if s.is_defined and s.is_dynamic}
    assert any(text.startswith("ret") for text in instructions(artifact.path))
