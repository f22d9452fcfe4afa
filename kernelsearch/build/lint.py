"""What a compiled candidate may contain: its exported functions, calls of mathematics, memory and OpenMP, no state.

A kernel that keeps something between calls can be right while it is watched and wrong later, so writable globals,
thread-locals and constructors are refused. Every list here fails closed: what is not on it is not allowed. The source
never names a section, a symbol or an instruction that this does not see, because it reads what the linker made; code
hidden in the middle of other instructions is the runner's to stop (its system-call filter, and a clock that faults).
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from kernelsearch.build.elf import Elf, Section, instructions, read_elf
from kernelsearch.errors import ContractError

ALLOWED = re.compile(
    r"GOMP_(parallel|barrier|loop_\w+|single_start|critical_start|critical_end|atomic_start|atomic_end)"
    r"|omp_get_(thread_num|num_threads|max_threads|num_procs|thread_limit|level|active_level)|omp_in_parallel"
    r"|mem(cpy|move|set|cmp)|malloc|calloc|realloc|free|aligned_alloc|posix_memalign"
    r"|_Zn[wa]m\w*|_Zd[la]Pv\w*"
    r"|(exp|exp2|expm1|log|log2|log1p|log10|sqrt|pow|tanh|sinh|cosh|sin|cos|sincos|fma|fmod|floor|ceil|round|lround"
    r"|nearbyint|rint|ldexp|frexp|scalbn|erf|cbrt|hypot)f?"
    r"|__cxa_(begin_catch|end_catch|rethrow|throw_bad_array_new_length)|__gxx_personality_v0|_Unwind_Resume"
    r"|_ZSt(9terminatev|17__throw_bad_allocv|20__throw_length_errorPKc|28__throw_bad_array_new_lengthv"
    r"|24__throw_out_of_range_fmtPKcz)"
    r"|__stack_chk_fail|abort|_GLOBAL_OFFSET_TABLE_"
)
# Templates of the standard library are exported, weakly, by every object that uses them.
STANDARD_TEMPLATE = re.compile(r"_ZNK?(St|9__gnu_cxx)\w+|_ZSt\w+")
NEEDED = re.compile(r"Shared library: \[(lib(c|m)\.so\.6|libstdc\+\+\.so\.6|libgcc_s\.so\.1|ld-linux-[\w-]+\.so\.\d)\]")
DYNAMIC = re.compile(
    r"NEEDED|(GNU_)?HASH|STRTAB|SYMTAB|STRSZ|SYMENT|PLTGOT|PLTRELSZ|PLTREL|JMPREL|RELA|RELASZ|RELAENT|RELACOUNT"
    r"|RELR|RELRSZ|RELRENT|FLAGS|FLAGS_1|BIND_NOW|VERNEED|VERNEEDNUM|VERSYM|AARCH64_\w+|NULL"
)
RUN_AT_LOAD = (".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors", ".init", ".fini")
PREFIX = re.compile(r"lock|rep(n?[ez])?|data16|addr32|notrack|bnd|[cdefgs]s|xacquire|xrelease|rex\S*")
# Of x86-64 and AArch64; the reason is part of the message.
INSTRUCTIONS = {
    re.compile(r"syscall|sysenter|sysret\w*|int[13o]?|iret\w*|svc|hvc|smc|ins?[bwl]?|outs?[bwl]?|l(call|jmp)\w?"): (
        "calls the system: a kernel only computes on its arguments"
    ),
    re.compile(r"rdtscp?|rdpmc|rdpid|cpuid|[ut]pause|u?mwaitx?|u?monitorx?"): (
        "asks for the time or the processor: a kernel computes the same whoever runs it"
    ),
    re.compile(r"rdrand|rdseed"): "draws random numbers: results must be reproducible",
    re.compile(r"v?ldmxcsr|fldcw|fldenv|frstor|fxrstor\w*|xrstor\w*|fninit"): (
        "changes how floating-point numbers are rounded: compute in float or double with the default rounding "
        "(long double converted to an integer does this too)"
    ),
    re.compile(r"(wr|rd)[fg]sbase\w?|swapgs|wrpkru|rdpkru|xsetbv|xgetbv|arpl|[sl][gil]dt|smsw|lmsw|ltr"): (
        "touches the state of the processor or of the thread"
    ),
    re.compile(r"xbegin|xabort|xend|xtest|encl[usv]|vm\w?call|vmfunc|tdcall"): "starts a transaction or an enclave",
    re.compile(r"\(bad\)|\.inst|\.word|udf"): "is none: keep constants in arrays, not among code",
}
SYSTEM_REGISTER = re.compile(r"(msr|mrs)\b(?!.*\b(tpidr_el0|nzcv)\b)")  # AArch64: clock, rounding, and others
# Memory of the thread outlives a call; compilers read a stack guard there, and nothing else that a kernel needs.
THREAD_MEMORY = re.compile(r"%[fg]s:(?!0x28\b)")
MAXIMUM_BYTES = 8 << 20


def lint_artifact(path: Path, expected: list[str], runtime: re.Pattern[str] | None = None) -> None:
    """Raises ContractError naming the first thing that a kernel's object must not contain, or lacks.

    It may also call what `runtime` matches: functions of ours that lie ready where it is loaded.
    """
    size = path.stat().st_size
    if size > MAXIMUM_BYTES:
        raise ContractError(f"compiles to {size} bytes, at most {MAXIMUM_BYTES} are allowed: instantiate less")
    elf = read_elf(path)
    checks: list[Callable[[], Iterator[str]]] = [
        lambda: _missing(elf, expected),
        lambda: _foreign_calls(elf, runtime),
        lambda: _resolvers(elf),
        lambda: _run_at_load(elf),
        lambda: _state(elf),
        lambda: _segments(elf),
        lambda: _dynamic(elf),
        lambda: _exports(elf, expected),
        lambda: _instructions(path),
    ]
    for check in checks:
        for complaint in check():
            raise ContractError(complaint)


def _missing(elf: Elf, expected: list[str]) -> Iterator[str]:
    missing = [name for name in expected if name not in {s.name for s in elf.symbols if s.is_defined and s.is_dynamic}]
    if missing:
        yield f"does not export {', '.join(missing)}"


def _foreign_calls(elf: Elf, runtime: re.Pattern[str] | None) -> Iterator[str]:
    undefined = {s.name for s in elf.symbols if s.is_dynamic and not s.is_defined}
    if runtime is not None:
        undefined = {name for name in undefined if not runtime.fullmatch(name)}
    foreign = sorted(name for name in undefined if not ALLOWED.fullmatch(name))
    if foreign:
        yield f"calls {', '.join(foreign[:5])}: a kernel may call mathematics, memory and OpenMP only"


def _resolvers(elf: Elf) -> Iterator[str]:
    indirect = sorted({s.name for s in elf.symbols if s.kind == "IFUNC"})
    if indirect or any("IRELATIV" in name for name in elf.relocations):
        named = ", ".join(indirect[:5]) or "a function"
        yield f"resolves {named} at load time (ifunc): call the function itself, this machine is known"


def _run_at_load(elf: Elf) -> Iterator[str]:
    for section in elf.sections:
        if section.size and section.name.startswith(RUN_AT_LOAD):
            yield f"runs code when it is loaded (section {section.name}): make globals constexpr, drop constructors"


def _state(elf: Elf) -> Iterator[str]:
    """Every writable section must lie in what the loader makes read-only after relocation, whatever it is called."""
    for section in elf.sections:
        is_kept = "T" in section.flags or ("W" in section.flags and not _is_sealed(elf, section))
        if section.size and is_kept:
            yield (
                f"keeps {section.size} bytes of state between calls (section {section.name}): "
                "make globals constexpr and use local variables"
            )


def _is_sealed(elf: Elf, section: Section) -> bool:
    return any(
        part.kind == "GNU_RELRO"
        and part.address <= section.address
        and section.address + section.size <= part.address + part.size
        for part in elf.segments
    )


def _segments(elf: Elf) -> Iterator[str]:
    if not any(part.kind == "GNU_STACK" and "E" not in part.flags for part in elf.segments):
        yield "wants an executable stack: no nested functions, and assembler files' `.note.GNU-stack` kept as it was"
    if any("W" in part.flags and "E" in part.flags for part in elf.segments):
        yield "has memory that is both writable and executable: a kernel does not make code"


def _dynamic(elf: Elf) -> Iterator[str]:
    for tag, text in elf.dynamic:
        if tag == "TEXTREL" or (tag == "FLAGS" and "TEXTREL" in text):
            yield "has its code changed when it is loaded (TEXTREL): assembler must be position-independent"
        elif tag in ("RPATH", "RUNPATH") or (tag == "NEEDED" and not NEEDED.fullmatch(text.strip())):
            yield f"asks for libraries of its own ({tag} {text.strip()}): a kernel is one file"
        elif tag in ("INIT", "FINI") or tag.endswith("_ARRAY"):
            yield f"runs code when it is loaded ({tag}): call no function _init or _fini, and drop constructors"
        elif not DYNAMIC.fullmatch(tag):
            yield f"asks the loader for {tag}, which a kernel does not need"


def _exports(elf: Elf, expected: list[str]) -> Iterator[str]:
    own = {*expected, *(f"ks_call_{name}" for name in expected)}
    replaced = sorted({s.name for s in elf.symbols if s.is_defined and ALLOWED.fullmatch(s.name)} - own - _LINKERS)
    if replaced:
        yield f"defines {', '.join(replaced[:5])} itself: choose another name, the library's own must stay in use"
    others = (s for s in elf.symbols if s.is_defined and s.is_dynamic and s.name not in own)
    foreign = sorted({s.name for s in others if s.binding == "GLOBAL" or not STANDARD_TEMPLATE.fullmatch(s.name)})
    if foreign:
        yield f"exports {', '.join(foreign[:5])}, which the target does not ask for: make functions of your own static"


def _instructions(path: Path) -> Iterator[str]:
    for text in instructions(path):
        words = [word for word in text.split() if not PREFIX.fullmatch(word)]
        name = words[0] if words else text.strip()
        for pattern, reason in INSTRUCTIONS.items():
            if pattern.fullmatch(name):
                yield f"the instruction {name} {reason}"
        if THREAD_MEMORY.search(text):
            yield f"the instruction {text.strip()} keeps state in the thread's memory: use local variables"
        if SYSTEM_REGISTER.match(text):
            yield f"the instruction {text.strip()} touches the state of the processor or of the thread"


_LINKERS = {"_GLOBAL_OFFSET_TABLE_"}
