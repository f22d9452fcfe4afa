"""What a compiled candidate may contain: its exported functions, calls of mathematics, memory and OpenMP, no state.

A kernel that keeps something between calls can be right while it is watched and wrong later, so writable globals,
thread-locals and constructors are refused. The list of symbols fails closed: what is not on it is not allowed.
"""

import re
import subprocess
from pathlib import Path

from kernelsearch.errors import ContractError

ALLOWED = re.compile(
    r"GOMP_(parallel|barrier|loop_\w+|single_start|critical_start|critical_end|atomic_start|atomic_end)|omp_get_\w+"
    r"|mem(cpy|move|set|cmp)|malloc|calloc|realloc|free|aligned_alloc|posix_memalign"
    r"|_Zn[wa]m\w*|_Zd[la]Pv\w*"
    r"|(exp|exp2|expm1|log|log2|log1p|log10|sqrt|pow|tanh|sinh|cosh|sin|cos|sincos|fma|fmod|floor|ceil|round|lround"
    r"|nearbyint|rint|ldexp|frexp|scalbn|erf|cbrt|hypot)f?"
    r"|__cxa_(begin_catch|end_catch|rethrow|throw_bad_array_new_length)|__gxx_personality_v0|_Unwind_Resume"
    r"|_ZSt(9terminatev|17__throw_bad_allocv|20__throw_length_errorPKc|28__throw_bad_array_new_lengthv"
    r"|24__throw_out_of_range_fmtPKcz)"
    r"|__stack_chk_fail|abort|_GLOBAL_OFFSET_TABLE_"
)
WRITABLE = (".data", ".bss", ".tdata", ".tbss")
RUN_AT_LOAD = (".init_array", ".fini_array", ".preinit_array", ".ctors", ".dtors", ".init", ".fini")


def lint_artifact(path: Path, expected: list[str]) -> None:
    """Raises ContractError naming the first thing that a kernel's object must not contain, or lacks."""
    defined, undefined, indirect = _symbols(path)
    missing = [name for name in expected if name not in defined]
    if missing:
        raise ContractError(f"does not export {', '.join(missing)}")
    foreign = sorted(name for name in undefined if not ALLOWED.fullmatch(name))
    if foreign:
        raise ContractError(f"calls {', '.join(foreign[:5])}: a kernel may call mathematics, memory and OpenMP only")
    if indirect:
        raise ContractError(f"resolves {', '.join(sorted(indirect)[:5])} at load time (ifunc)")
    for name, size in _sections(path):
        if size and name in RUN_AT_LOAD:
            raise ContractError(f"runs code when it is loaded (section {name})")
        if size and name.startswith(WRITABLE) and not name.startswith(".data.rel.ro"):
            raise ContractError(f"keeps {size} bytes of state between calls (section {name})")


def _symbols(path: Path) -> tuple[set[str], set[str], set[str]]:
    defined: set[str] = set()
    undefined: set[str] = set()
    indirect: set[str] = set()
    for line in _readelf("--dyn-syms", path).splitlines():
        fields = line.split()
        if len(fields) < 8 or not fields[0].endswith(":") or not fields[0][:-1].isdigit():
            continue
        name = fields[7].split("@")[0]
        if fields[3] == "IFUNC":
            indirect.add(name)
        (undefined if fields[6] == "UND" else defined).add(name)
    return defined, undefined - {""}, indirect


def _sections(path: Path) -> list[tuple[str, int]]:
    pattern = re.compile(r"^\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+[0-9a-f]+\s+[0-9a-f]+\s+([0-9a-f]+)", re.MULTILINE)
    return [(name, int(size, 16)) for name, size in pattern.findall(_readelf("-S", path))]


def _readelf(what: str, path: Path) -> str:
    return subprocess.run(["readelf", "-W", what, str(path)], capture_output=True, text=True, check=True).stdout
