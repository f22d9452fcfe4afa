"""CUDA C text of a candidate: device code without state, clocks, assembly or calls to the outside.

The text is split into tokens as the compiler does it (spliced lines, comments, literals, digit separators), because a
lint that reads comments or literals otherwise than the compiler can be talked past. Words with two underscores and
directives are listed; every declaration at file scope must be a function, a type or constexpr.
"""

import re
from collections.abc import Sequence

from kernelsearch.build.host_cuda_scope import Token, check_file_scope, check_macros
from kernelsearch.build.host_source import refuse, words

HEADERS = words(
    "cuda_fp16.h cuda_bf16.h cuda_fp8.h mma.h math_constants.h cstdint stdint.h cfloat float.h climits limits.h"
)
DIRECTIVES = re.compile(r"(include|define|undef|if|ifdef|ifndef|elif|else|endif|error)\b|pragma\s+(no)?unroll\b")
DUNDERS = re.compile(
    r"__(global|device|host|shared|constant|forceinline|noinline|inline|restrict|launch_bounds|align|grid_constant)__"
    r"|__CUDA_ARCH__|__restrict|__half2?|__half2?_raw|__nv_bfloat162?|__nv_bfloat162?_raw|__nv_fp8\w*"
    r"|__syncthreads(_(count|and|or))?|__syncwarp|__threadfence(_block)?|__(shfl(_(up|down|xor))?|any|all|ballot)_sync"
    r"|__match_(any|all)_sync|__reduce_\w+_sync|__activemask|__ldg|__ld(c[agsv]|lu)|__st(cg|cs|wb|wt)|__pipeline_\w+"
    r"|__(exp|exp10|log|log2|log10|sin|cos|tan|pow|sincos|saturate)f|__(f|d)\w+_r[nzud]|__fdividef"
    r"|__h\w+2?|__(float|double|int|uint|ll|ull|short|ushort|half|bfloat16|bfloat162|low|high|lows|halves|floats)2\w+"
    r"|__(low|high)s?2\w+|__(float|int|uint|double|longlong|half|short|ushort|bfloat16)_as_\w+|__bfloat\w+"
    r"|__(popc|clz|ffs|brev)(ll)?|__byte_perm|__u?mul(24|hi|64hi)|__dp[24]a|__cvta_generic_to_shared|__funnelshift_\w+"
    r"|__(u|s|us)ad|__u?r?hadd|__v\w+[24]"
)
FORBIDDEN = {
    "asm": "write it in CUDA C, with intrinsics such as __ldg or wmma",
    "_Pragma": "write #pragma unroll on a line of its own",
    "clock": "a kernel has no use for the time",
    "clock64": "a kernel has no use for the time",
    "globaltimer": "a kernel has no use for the time",
    "printf": "delete it; a mismatch is reported with its smallest case",
    "vprintf": "delete it; a mismatch is reported with its smallest case",
    "assert": "delete it; the judge only calls with shapes the contract admits",
    "malloc": "allocate in the host function with torch.empty",
    "free": "allocate in the host function with torch.empty",
    "alloca": "use __shared__ memory or an array of constant size",
    "new": "allocate in the host function with torch.empty",
    "delete": "allocate in the host function with torch.empty",
    "thread_local": "keep it in a local variable",
    "goto": "write a loop or an if",
    "operator": "write a function with a name",
}
DUNDER_WAYS = {
    "__asm": FORBIDDEN["asm"],
    "__asm__": FORBIDDEN["asm"],
    "__nanosleep": "a kernel that waits is a slower kernel; delete it",
    "__managed__": "state between calls is not allowed; pass a tensor that the host function allocates",
}
# Rows: comment, number (before characters: 1'000), string, character, word, punctuation.
_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<number>\.?\d(?:'\w|[eEpP][+-]|[\w.])*)"
    r'|(?P<string>"(?:\\.|[^"\\\n])*")|(?P<char>\'(?:\\.|[^\'\\\n])*\')|(?P<word>[A-Za-z_]\w*)'
    r"|(?P<newline>\n)|(?P<space>[ \t\r]+)|(?P<punctuation><<<|::|##|%:|\?\?|.)",
    re.DOTALL | re.ASCII,
)


def lint_cuda(text: str, first_line: int) -> tuple[str, ...]:
    """The names of the text's `__global__` functions; raises ContractError for what device code must not contain."""
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):  # some compilers end a line, and with it a comment, at \r
        raise refuse(first_line, "a control character in CUDA source", "use spaces, tabs and newlines")
    tokens, statements = _check_directives(read_tokens(text, first_line))
    for index, token in enumerate(tokens):
        _check_token(token, tokens[index - 1] if index else None)
    kernels = check_file_scope(tokens, statements)
    if not kernels and not tokens:
        raise refuse(first_line, "a string without code", "a string constant holds CUDA C")
    return kernels


def read_tokens(text: str, first_line: int) -> list[Token]:
    """The text's tokens as the compiler sees them, newlines among them, comments not."""
    return _split(re.sub(r"(?:[^\n]*\\\r?\n)+[^\n]*\n?", _splice, text), first_line)


def _splice(found: re.Match[str]) -> str:
    """One logical line, followed by as many empty ones as it swallowed, so that line numbers stay."""
    text = found[0]
    joined = re.sub(r"\\\r?\n", "", text)
    return joined.removesuffix("\n") + "\n" * (text.count("\n"))


def _split(text: str, first_line: int) -> list[Token]:
    tokens: list[Token] = []
    line, end = first_line, 0  # `end` of the last token
    for found in _TOKEN.finditer(text):
        kind = str(found.lastgroup)
        if kind != "comment" and not found[0].isascii():
            raise refuse(line, f"{found[0]!r} in CUDA source", "write ASCII; other letters only in comments")
        if kind in ("string", "char") and tokens and tokens[-1].kind == "word" and tokens[-1].text.endswith("R"):
            raise refuse(line, "a raw string", "write an ordinary literal")
        if kind == "punctuation" and found[0] in ('"', "'", "\\", "@", "`", "$"):
            raise refuse(line, f"an unfinished or foreign `{found[0]}`", "close the literal on its line")
        if kind == "punctuation" and found[0] in ("##", "%:", "??"):
            raise refuse(line, f"`{found[0]}` puts words together that nobody can read", "write the word itself")
        if kind not in ("comment", "space"):
            tokens.append(Token(kind, found[0], line, found.start() == end and end > 0))
            end = found.end()
        line += found[0].count("\n")
    return tokens


def _check_directives(tokens: list[Token]) -> tuple[list[Token], frozenset[str]]:
    """Checks the lines that begin with #; returns the tokens of all others, and the macros that end statements."""
    rows: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind == "newline":
            rows.append([])
        else:
            rows[-1].append(token)
    for row in rows:
        if row and row[0].text == "#":
            _check_directive(row)
        elif any(token.text == "#" for token in row):
            raise refuse(row[0].line, "`#` inside a line", "begin directives on a line of their own")
    statements = check_macros(rows)
    return [token for row in rows if not row or row[0].text != "#" for token in row], statements


def _check_directive(row: Sequence[Token]) -> None:
    line, words = row[0].line, " ".join(t.text for t in row[1:])
    if not words:
        return
    if not DIRECTIVES.match(words):
        raise refuse(line, f"`#{words[:40]}`", "of pragmas, only `#pragma unroll` is allowed")
    if row[1].text == "include":
        name = "".join(t.text for t in row[2:]).strip('<>"')
        if name not in HEADERS:
            raise refuse(line, f"`#include {name[:40]}`", f"known headers are {', '.join(sorted(HEADERS))}")
        return
    for index, part in enumerate(row[2:], start=2):
        if part.text == "#":
            raise refuse(line, "`#` in a macro", "write the text itself")
        _check_token(part, row[index - 1])


def _check_token(token: Token, before: Token | None) -> None:
    if token.text == "<<<":
        raise refuse(token.line, "a launch from the device", "launch from the host function: launch(SOURCE, ...)")
    if token.kind == "string" and (before is None or before.text not in ("extern", ",", "error", "include")):
        raise refuse(token.line, f"the string {token.text[:20]}", "device code needs no text")
    if token.kind != "word":
        return
    word, line = token.text, token.line
    if word in FORBIDDEN:
        raise refuse(line, f"`{word}`", FORBIDDEN[word])
    if "__" in word and not DUNDERS.fullmatch(word) and (word.startswith("__") or word in DUNDER_WAYS):
        way = DUNDER_WAYS.get(
            word, "it is not on the list of words with two underscores; use the documented intrinsics"
        )
        raise refuse(line, f"`{word}`", way)
    if re.match(r"cuda|cu[A-Z]", word):
        raise refuse(line, f"`{word}`", "device code calls no CUDA runtime or driver; the launcher does")
