"""CUDA C candidates: the texts in a file, as a GPU's compiler gets them and as g++ gets them for the emulation.

For a device, a text follows a prelude: `scalar_t`, SCALAR_IS_BFLOAT16 and the tunables as macros. For the emulation
(emulation/*.h, native/cuda_runtime.cpp) it is rewritten in the four places where C++ has no word for what CUDA means:
includes, `extern "C"`, `__shared__` arrays and `extern __shared__`. Lines keep their numbers in the candidate's file.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kernelsearch.build.host_cuda import read_tokens
from kernelsearch.build.host_cuda_scope import Token
from kernelsearch.build.host_source import parse_source, refuse
from kernelsearch.errors import ContractError
from kernelsearch.spec.candidate import Candidate, Value

FILE = '"candidate.py"'
SCALARS = {"float32": "float", "bfloat16": "__nv_bfloat16"}
# What is CUDA C and has no emulation, with what to do instead.
NOT_EMULATED = (
    (re.compile(r"wmma|nvcuda|mma_sync|load_matrix_sync"), "tensor cores"),
    (re.compile(r"__pipeline_\w+|__cvta_generic_to_shared"), "asynchronous copies"),
    (re.compile(r"tex[123]D\w*|surf[123]D\w*|texture|surface"), "textures"),
    (re.compile(r"__activemask"), "which lanes happen to be active (write the mask)"),
    (re.compile(r"__nv_fp8\w*|__dp[24]a|__v\w+[24]|__match_all_sync"), "this intrinsic"),
)
INCLUDES_NOT_EMULATED = {"mma.h": "tensor cores", "cuda_fp8.h": "8-bit numbers"}
# NVRTC brings no C library: the integers of fixed width are spelt out there, and elsewhere come from the header.
_PRELUDE = """\
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#ifdef __CUDACC_RTC__
typedef signed char int8_t; typedef unsigned char uint8_t; typedef short int16_t; typedef unsigned short uint16_t;
typedef int int32_t; typedef unsigned int uint32_t; typedef long int64_t; typedef unsigned long uint64_t;
typedef unsigned long uintptr_t; typedef long intptr_t;
#else
#include <cstdint>
#endif
"""
_C_HEADERS = re.compile(
    r"^[ \t]*#[ \t]*include[ \t]*[<\"](cstdint|c(float|limits)|(stdint|float|limits)\.h)[>\"]", re.M
)


@dataclass(frozen=True)
class Text:
    """One string constant of CUDA C: its name in the file, and the line of the file at which it begins."""

    name: str
    code: str
    line: int


@dataclass(frozen=True)
class Kernel:
    """A `__global__` function of a text, and the symbol that launches it in the emulation."""

    text: str
    name: str
    symbol: str


def cuda_texts(source: str) -> tuple[Text, ...]:
    """The CUDA C of a candidate's file, in order. The file has passed the lint (build/host.py)."""
    found = []
    for node in parse_source(source).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str() as code) as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str() as code) as value)
            ):
                found.append(Text(name, code, value.lineno))
    return tuple(found)


def device_text(candidate: Candidate, text: Text, dtype: str) -> str:
    """What a GPU's compiler (NVRTC, nvcc) is given."""
    return f"{device_code(f'#line {text.line} {FILE}{chr(10)}{text.code}', candidate.tunables, dtype)}\n"


def device_code(code: str, tunables: Mapping[str, Value], dtype: str) -> str:
    """CUDA C behind its prelude, for any compiler of NVIDIA's, CuPy's RawModule too."""
    return _PRELUDE + _definitions(tunables, dtype) + _C_HEADERS.sub("// in the prelude", code)


def emulated_text(candidate: Candidate, dtype: str) -> tuple[str, tuple[Kernel, ...]]:
    """All texts of a candidate as one C++ file, and its kernels. Raises ContractError for what is not emulated."""
    parts = ["#include <kernelsearch/cuda_emulation.h>\n", _definitions(candidate.tunables, dtype)]
    kernels: list[Kernel] = []
    for number, text in enumerate(cuda_texts(candidate.source)):
        rewritten = _Rewriting(read_tokens(text.code, text.line), text.line)
        body = rewritten.text()
        parts.append(f"namespace ks_{number} {{\n#line {text.line} {FILE}\n{body}\n}}\n")
        parts += [f"#undef {name}\n" for name in rewritten.macros]
        for name in rewritten.kernels:
            kernel = Kernel(text.name, name, f"ks_kernel_{len(kernels)}")
            kernels.append(kernel)
            exported = 'extern "C" __attribute__((visibility("default")))'
            parts.append(f"{exported} void {kernel.symbol}(const KsLaunch* l) {{ ks::run(l, ks_{number}::{name}); }}\n")
    return "".join(parts), tuple(kernels)


def _definitions(tunables: Mapping[str, Value], dtype: str) -> str:
    macros = {"SCALAR_IS_BFLOAT16": int(dtype == "bfloat16"), **tunables}
    lines = [f"typedef {SCALARS[dtype]} scalar_t;", *(f"#define {name} {value}" for name, value in macros.items())]
    return "\n".join(lines) + "\n"


class _Rewriting:
    """One pass over a text's tokens. `kernels` and `macros` are filled as `text` is made."""

    def __init__(self, tokens: Sequence[Token], first_line: int) -> None:
        self.tokens, self._first_line = tokens, first_line
        self.kernels: list[str] = []
        self.macros: list[str] = []
        self._blocks: list[str] = []

    def text(self) -> str:
        """The tokens as text again, each on its own line of the file."""
        words: list[str] = []
        line = self._first_line
        for token in self._rewritten():
            between = "" if token.is_glued else " "
            words.append("\n" * (token.line - line) if token.line > line else between)
            line = max(line, token.line)
            words.append(token.text)
        return "".join(words)

    def _rewritten(self) -> Iterator[Token]:
        at = 0
        while at < len(self.tokens):
            token = self.tokens[at]
            if token.kind == "newline":
                at += 1
                continue
            if token.text == "#" and (at == 0 or self.tokens[at - 1].kind == "newline"):
                end = self._end_of_row(at)
                yield from self._directive(self.tokens[at:end])
                at = end
                continue
            self._refuse_unknown(token)
            following = self._significant(at, 3)
            if following[:2] == ["extern", '"C"']:
                is_block = following[2:] == ["{"]
                at = self._skip(at, 3 if is_block else 2)
                if is_block:
                    self._blocks.append("C")
                    yield Token("word", "inline namespace ks_c {", token.line)
                else:
                    self._blocks.append("declaration")
            elif following[:2] == ["extern", "__shared__"] or token.text == "__shared__":
                end = self._end_of_statement(at)
                declaration = [t for t in self.tokens[at:end] if t.kind != "newline"]
                yield from self._shared(declaration)
                at = end + 1
            else:
                self._follow(token, at)
                yield token
                at += 1

    def _follow(self, token: Token, at: int) -> None:
        """Keeps count of blocks, and takes down kernels."""
        if token.text == "__global__":
            if not {"C", "declaration"} & set(self._blocks):
                raise refuse(token.line, "a kernel with a C++ name", 'write extern "C" before __global__')
            self.kernels += self._name_of_kernel(at)
        if token.text in ("{", "}", ";") and self._blocks[-1:] == ["declaration"]:
            self._blocks.pop()  # extern "C" holds for the one declaration whose body begins, or that ends, here
        if token.text == "{":
            before = self._before(at)
            self._blocks.append("namespace" if "namespace" in before else "body")
        elif token.text == "}" and self._blocks:
            self._blocks.pop()

    def _before(self, at: int) -> list[str]:
        """The two words before a position."""
        words = [t.text for t in self.tokens[max(0, at - 6) : at] if t.kind != "newline"]
        return words[-2:]

    def _name_of_kernel(self, at: int) -> list[str]:
        depth = 0
        texts = [t.text for t in self.tokens[at:] if t.kind != "newline"][:200]
        for word, after in pairwise(texts):
            depth += (word == "(") - (word == ")")
            if after == "(" and depth == 0 and re.fullmatch(r"[A-Za-z_]\w*", word) and not word.startswith("__"):
                return [word]
        return []

    def _directive(self, row: Sequence[Token]) -> Iterator[Token]:
        texts = [t.text for t in row]
        if texts[1:2] == ["include"]:
            header = "".join(texts[2:]).strip('<>"')
            if header in INCLUDES_NOT_EMULATED:
                raise _not_emulated(row[0].line, header, INCLUDES_NOT_EMULATED[header])
            return
        if texts[1:2] == ["pragma"]:
            return  # unrolling is for speed
        if texts[1:2] == ["define"]:
            self.macros.append(texts[2])
            if "__shared__" in texts:
                raise refuse(row[0].line, "`__shared__` in a macro", "declare the array where it is used")
        for token in row:
            self._refuse_unknown(token)
            yield token

    def _refuse_unknown(self, token: Token) -> None:
        for pattern, what in NOT_EMULATED:
            if token.kind == "word" and pattern.fullmatch(token.text):
                raise _not_emulated(token.line, token.text, what)

    def _shared(self, declaration: Sequence[Token]) -> Iterator[Token]:
        line = declaration[0].line
        if "body" not in self._blocks:
            raise refuse(line, "`__shared__` at file scope", "declare it in the kernel, and pass a pointer on")
        texts = [t.text for t in declaration]
        is_dynamic = texts[0] == "extern"
        rest, align = _without_alignment(texts[2 if is_dynamic else 1 :])
        if "=" in rest or "{" in rest:
            raise refuse(line, "a __shared__ variable with a value or a type of its own", "assign it in the kernel")
        kind, declarators = _declarators(rest)
        for number, (name, dims) in enumerate(declarators):
            if is_dynamic:
                yield Token("word", f"{kind}* {name} = static_cast<{kind}*>(ks_cuda_dynamic_shared({line}));", line)
                continue
            size = f"sizeof(ks_{name}_t)"
            place = f"ks_cuda_shared(__PRETTY_FUNCTION__, {line * 64 + number}, {size}, {align})"
            text = f"using ks_{name}_t = {kind} {dims}; ks_{name}_t& {name} = *static_cast<ks_{name}_t*>({place});"
            yield Token("word", text, line)

    def _end_of_row(self, at: int) -> int:
        while at < len(self.tokens) and self.tokens[at].kind != "newline":
            at += 1
        return at

    def _end_of_statement(self, at: int) -> int:
        start = at
        while at < len(self.tokens) and self.tokens[at].text != ";":
            at += 1
        if at == len(self.tokens):
            raise refuse(self.tokens[start].line, "a declaration without an end", "end it with `;`")
        return at

    def _significant(self, at: int, count: int) -> list[str]:
        return [t.text for t in self.tokens[at : at + 4 * count] if t.kind != "newline"][:count]

    def _skip(self, at: int, count: int) -> int:
        while count:
            count -= self.tokens[at].kind != "newline"
            at += 1
        return at


def _not_emulated(line: int, word: str, what: str) -> ContractError:
    return ContractError(f"line {line}: `{word}`: {what} cannot be emulated on the CPU; judge this candidate on a GPU")


def _without_alignment(texts: Sequence[str]) -> tuple[list[str], str]:
    """A declaration without __align__(n) or alignas(n), and n; 16 where none is asked for."""
    rest, align = list(texts), "16"
    for word in ("__align__", "alignas"):
        if word in rest:
            at = rest.index(word)
            end = _closing(rest, at + 1)
            align = " ".join(rest[at + 1 : end])
            rest = rest[:at] + rest[end:]
    return rest, align


def _closing(texts: Sequence[str], at: int) -> int:
    """The position after the bracket that closes the one at `at`."""
    depth = 0
    for index in range(at, len(texts)):
        depth += (texts[index] in "([{") - (texts[index] in ")]}")
        if depth == 0:
            return index + 1
    return len(texts)


def _declarators(texts: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """The type, and each name with its array sizes."""
    parts: list[list[str]] = [[]]
    depth = angle = 0
    for text in texts:
        depth += (text in "([{") - (text in ")]}")
        angle += ((text == "<") - (text == ">")) if depth == 0 else 0
        if text == "," and depth == 0 and angle == 0:
            parts.append([])
        else:
            parts[-1].append(text)
    first = parts[0]
    end = next((i for i, text in enumerate(first) if text == "["), len(first))
    kind = " ".join(first[: end - 1])
    return kind, [_name_and_sizes(first[end - 1 :]), *(_name_and_sizes(part) for part in parts[1:])]


def _name_and_sizes(texts: Sequence[str]) -> tuple[str, str]:
    return texts[0], " ".join(texts[1:])
