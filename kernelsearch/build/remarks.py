"""What g++ says of the loops it could not vectorise: a hint for who improves a candidate, never part of a verdict."""

import re
from pathlib import Path

from kernelsearch.build.abi import abi_header
from kernelsearch.build.cpp import COMPILE, FLAGS, INCLUDE, compiler
from kernelsearch.build.flags import candidate_flags
from kernelsearch.build.jail import compile_jailed, jail_command
from kernelsearch.errors import BuildError, ContractError
from kernelsearch.spec.candidate import Candidate
from kernelsearch.spec.target import Target

REPORT = "report.txt"
MAXIMUM_LINES = 40
_LINE = re.compile(r"^kernel\.cpp:(\d+):\d+: missed: +(.*)$", re.MULTILINE)
_TELLING = re.compile(r"couldn't vectorize loop|not vectorized: (?!vectorization is not profitable)")


def vectorisation_remarks(target: Target, candidate: Candidate, dtype: str, cache_dir: Path) -> str:
    """Lines of the candidate's own source with the compiler's reason, each once; empty where there are none.

    Compiled in the jail with the flags of a build. Empty too where it does not compile.
    """
    header, flags = abi_header(target, candidate, dtype), (*FLAGS, *candidate_flags(candidate))
    includes = {f"include/{p.relative_to(INCLUDE)}": p.read_bytes() for p in sorted(INCLUDE.rglob("*.h"))}
    files = {"kernel.cpp": candidate.source.encode(), "abi.h": header.encode(), **includes}
    program = compiler() if compiler().startswith("/usr/") else str(Path(compiler()).resolve())
    command = (program, *flags, f"-fopt-info-vec-missed={REPORT}", *COMPILE)
    try:
        report = compile_jailed(jail_command(cache_dir), files, [command], REPORT)
    except (BuildError, ContractError):
        return ""
    return select_remarks(report.decode(errors="replace"), candidate.source)


def select_remarks(report: str, source: str) -> str:
    """The reasons that stand at lines of the source, with those lines; in order, each once."""
    lines = source.splitlines()
    found = dict.fromkeys(
        (int(number), " ".join(reason.split()))
        for number, reason in _LINE.findall(report)
        if _TELLING.search(reason) and int(number) <= len(lines)
    )
    shown = [f"line {number}: {reason}\n    {lines[number - 1].strip()}" for number, reason in sorted(found)]
    return "\n".join(shown[:MAXIMUM_LINES])
