"""The options of the compiler that a candidate may ask for: how code is arranged, never what its arithmetic means."""

from kernelsearch.errors import ContractError
from kernelsearch.spec.candidate import Candidate, declared_flags

# Without -ffast-math and its parts: they change values, and linking with them flips the process's flush-to-zero.
# -ffp-contract decides whether a * b + c is rounded once; both ways keep the precision policy.
ALLOWED = frozenset(
    (
        *("-O2", "-O3", "-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-funroll-loops", "-fno-unroll-loops"),
        *("-ffp-contract=off", "-ffp-contract=fast", "-fno-strict-aliasing", "-fno-tree-loop-distribute-patterns"),
        *("-mprefer-vector-width=128", "-mprefer-vector-width=256", "-mprefer-vector-width=512"),
        *("-falign-loops=32", "-falign-loops=64", "-fno-schedule-insns2", "-fvect-cost-model=cheap"),
    )
)


def candidate_flags(candidate: Candidate) -> tuple[str, ...]:
    """What the candidate's declarations ask for; raises ContractError for anything that is not on the list."""
    flags = declared_flags(candidate.declared)
    foreign = [flag for flag in flags if flag not in ALLOWED]
    if foreign:
        raise ContractError(f"flags: {' '.join(foreign)}: choose from {' '.join(sorted(ALLOWED))}")
    return flags
