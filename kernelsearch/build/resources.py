"""What a compiled GPU kernel takes of a multiprocessor, and whether that is too much.

A kernel that does not fit, or that spills more than its file admits, is refused before anything of it runs. A file
admits a stack by the constant SPILL_BYTES.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kernelsearch.errors import BuildError, ContractError
from kernelsearch.spec.record import Resources

REGISTERS, REGISTER_UNIT = 65536, 256
MAXIMUM_MESSAGE = 3000
WARP = 32


@dataclass(frozen=True)
class Multiprocessor:
    """Limits of one compute capability, from the CUDA C++ Programming Guide's table of technical specifications."""

    warps: int
    blocks: int
    shared_bytes: int
    shared_bytes_of_block: int
    reserved_bytes: int = 1024


MULTIPROCESSORS = {
    80: Multiprocessor(64, 32, 164 << 10, 163 << 10),
    86: Multiprocessor(48, 16, 100 << 10, 99 << 10),
    89: Multiprocessor(48, 24, 100 << 10, 99 << 10),
    90: Multiprocessor(64, 32, 228 << 10, 227 << 10),
    100: Multiprocessor(64, 32, 228 << 10, 227 << 10),
    120: Multiprocessor(48, 24, 100 << 10, 99 << 10),
}
ARCHITECTURES = (90, 80, 100)  # the first one decides, the others are told


def occupancy(architecture: int, registers: int, shared_bytes: int, warps: int) -> float:
    """The share of a multiprocessor's warps that can be resident at once."""
    limits = MULTIPROCESSORS[architecture]
    registers_of_warp = -(-registers * WARP // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = REGISTERS // max(1, registers_of_warp) // warps
    by_memory = limits.shared_bytes // (shared_bytes + limits.reserved_bytes)
    blocks = min(limits.blocks, limits.warps // warps, by_registers, by_memory)
    return blocks * warps / limits.warps


def check_fit(kernel: str, architecture: int, registers: int, shared_bytes: int, warps: int) -> None:
    """Raises BuildError for a kernel of which not one block fits on a multiprocessor."""
    limit = MULTIPROCESSORS[architecture].shared_bytes_of_block
    if shared_bytes > limit:
        raise BuildError(
            f"{kernel} needs {shared_bytes} bytes of shared memory, a block on sm_{architecture} has {limit}: "
            "smaller tiles, or fewer num_stages"
        )
    if occupancy(architecture, registers, shared_bytes, warps) == 0:
        raise BuildError(
            f"{kernel}: {warps} warps with {registers} registers a thread are more than a multiprocessor on "
            f"sm_{architecture} has: fewer warps, or smaller tiles"
        )


def checked_resources(source: str, found: Mapping[str, Any]) -> tuple[Resources, ...]:
    """What a worker's answer says of the kernels; raises BuildError for what does not compile, fit or spill little."""
    for k in found["kernels"]:
        check_fit(k["kernel"], k["architecture"], k["registers"], k["shared_bytes"], k["warps"])
    if found["error"] is not None:
        raise BuildError(found["error"][:MAXIMUM_MESSAGE])
    resources = tuple(
        Resources(occupancy=occupancy(k["architecture"], k["registers"], k["shared_bytes"], k["warps"]), **k)
        for k in found["kernels"]
    )
    check_spills(source, resources)
    return resources


def busy_share(found: tuple[Resources, ...], multiprocessors: int) -> float:
    """The share of a device that these kernels can keep busy: one after the other, a block to a multiprocessor."""
    blocks = [kernel.blocks for kernel in found]
    return min(1.0, max(blocks) / multiprocessors) if blocks and all(blocks) else 1.0


def check_spills(source: str, found: tuple[Resources, ...]) -> None:
    """Raises BuildError for a kernel that takes more stack than its file admits; the first architecture decides."""
    admitted = admitted_stack_bytes(source)
    for kernel in found:
        if kernel.architecture == found[0].architecture and kernel.stack_bytes > admitted:
            raise BuildError(
                f"{kernel.kernel} spills on sm_{kernel.architecture}: {kernel.stack_bytes} bytes of stack for each "
                f"thread beside {kernel.registers} registers, admitted are {admitted}; smaller tiles or more warps, "
                f"or admit it with SPILL_BYTES = {kernel.stack_bytes}"
            )


def admitted_stack_bytes(source: str) -> int:
    """The file's SPILL_BYTES, or 0."""
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(id="SPILL_BYTES")], value=value):
                match value:
                    case ast.Constant(value=int() as number) if 0 <= number <= 1 << 16:
                        return number
                raise ContractError("SPILL_BYTES: must be a number of bytes for each thread, at most 65536")
    return 0
