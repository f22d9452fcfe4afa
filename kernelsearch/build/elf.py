"""What readelf and objdump say about a shared object, as values. Both are part of binutils, as the linker is."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kernelsearch.errors import EnvironmentMissing, Infrastructure

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Section:
    """`flags` as readelf prints them: W writable, X executable, T one for each thread, A in memory."""

    name: str
    address: int
    size: int
    flags: str


@dataclass(frozen=True)
class Segment:
    kind: str
    address: int
    size: int
    flags: str


@dataclass(frozen=True)
class Symbol:
    """`is_dynamic`: seen by the dynamic linker; the others are kept for debuggers only."""

    name: str
    kind: str
    binding: str
    is_defined: bool
    is_dynamic: bool


@dataclass(frozen=True)
class Elf:
    """`dynamic`: (tag, text) of each entry; `relocations`: the name of each one's type."""

    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]
    symbols: tuple[Symbol, ...]
    dynamic: tuple[tuple[str, str], ...]
    relocations: frozenset[str]


_SECTION = re.compile(r"^\s*\[\s*\d+\]\s+(\S+)\s+\S+\s+([0-9a-f]+)\s+[0-9a-f]+\s+([0-9a-f]+)\s+[0-9a-f]+ (.{3}) ", re.M)
_SEGMENT = re.compile(r"^  ([A-Z_]+) +0x[0-9a-f]+ 0x([0-9a-f]+) 0x[0-9a-f]+ 0x[0-9a-f]+ 0x([0-9a-f]+) (.{3}) ", re.M)
_DYNAMIC = re.compile(r"^ 0x[0-9a-f]+ \((\w+)\)\s*(.*)$", re.M)
_SYMBOL = re.compile(r"^\s*\d+: [0-9a-f]+ +\S+ (\w+) +(\w+) +\w+ +(?:\[.*\] +)?(\S+) (\S+)", re.M)
_RELOCATION = re.compile(r"^[0-9a-f]{8,}  [0-9a-f]{8,} (R_\w+)", re.M)
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t(.*)$", re.M)


def read_elf(path: Path) -> Elf:
    text = _run(["readelf", "-W", "-S", "-l", "-d", "-r", "-s", str(path)])
    return Elf(
        tuple(Section(n, int(a, 16), int(s, 16), f.strip()) for n, a, s, f in _SECTION.findall(text)),
        tuple(Segment(k, int(a, 16), int(s, 16), f.replace(" ", "")) for k, a, s, f in _SEGMENT.findall(text)),
        tuple(_symbols(text)),
        tuple(_DYNAMIC.findall(text)),
        frozenset(_RELOCATION.findall(text)),
    )


def instructions(path: Path) -> Iterator[str]:
    """Every instruction of the executable sections as text, prefixes first, decoded from each symbol's start on."""
    yield from _INSTRUCTION.findall(_run(["objdump", "-d", "-w", "-z", "--no-show-raw-insn", str(path)]))


def _symbols(text: str) -> Iterator[Symbol]:
    for table in text.split("Symbol table '")[1:]:
        for kind, binding, section, name in _SYMBOL.findall(table):
            yield Symbol(name.split("@")[0], kind, binding, section != "UND", table.startswith(".dynsym"))


def _run(command: list[str]) -> str:
    environment = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment)
    except FileNotFoundError:
        raise EnvironmentMissing(
            f"no {command[0]} on PATH: install binutils, `sudo apt-get install binutils` (Debian, Ubuntu)"
        ) from None
    except subprocess.TimeoutExpired:
        raise Infrastructure(f"{command[0]} did not finish within {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise Infrastructure(f"{command[0]} cannot read what the linker made: {done.stderr.strip()[:300]}")
    return done.stdout
