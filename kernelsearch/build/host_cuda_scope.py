"""Declarations and macros of CUDA C text: nothing at file scope may change between calls.

Brackets decide what is file scope, so nothing may move them out of sight: macros and #if sections are balanced, macros
neither rename keywords nor declare, and one that ends statements is used inside functions only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kernelsearch.build.host_source import refuse, words

OPEN, CLOSE = ("(", "[", "{"), (")", "]", "}")
TYPES = ("struct", "class", "union", "enum")
DECLARING = words(
    "__device__ __global__ __constant__ __shared__ __host__ static extern template namespace typedef using"
)
KEYWORDS = DECLARING | words(
    "constexpr const struct class union enum void int float double char short long signed unsigned bool auto if else "
    "for while do return inline typename static_assert volatile switch case default break continue sizeof"
)
STATE = "state between calls is not allowed: make it constexpr, or pass it as an argument; define functions above use"


@dataclass(frozen=True)
class Token:
    """kind is number, string, char, word, newline or punctuation; `line` counts in the candidate's file.

    A token is glued if nothing, not even a space, stands between it and the one before.
    """

    kind: str
    text: str
    line: int
    is_glued: bool = False


def check_macros(rows: Sequence[Sequence[Token]]) -> frozenset[str]:
    """The macros that end statements; raises ContractError where the compiler could see other text than we do."""
    depth, last = 0, ";"
    outside: list[int] = []
    bodies: dict[str, list[str]] = {}
    for row in rows:
        texts = [t.text for t in row]
        if texts[:2] == ["#", "define"] and len(row) > 2:
            _check_macro(row)
            bodies.setdefault(texts[2], []).extend(texts[3:])
        elif texts[:1] == ["#"] and texts[1:2] and texts[1] in ("if", "ifdef", "ifndef", "else", "elif", "endif"):
            if texts[1] in ("if", "ifdef", "ifndef"):
                outside.append(depth)
            if not outside or outside[-1] != depth or last not in (";", "{", "}"):
                way = "let each section hold whole statements or declarations"
                raise refuse(row[0].line, f"`#{texts[1]}` inside a statement", way)
            if texts[1] == "endif":
                outside.pop()
        elif texts and texts[0] != "#":
            depth, last = depth + _balance(texts), texts[-1]
    if outside:
        raise refuse(rows[0][0].line if rows[0] else 1, "an #if without #endif", "close it")
    return _ending(bodies)


def _ending(bodies: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """The macros that hold a semicolon or a brace, on their own or through another."""
    found = {";", "{"}
    for _ in bodies:
        found |= {name for name, texts in bodies.items() if found & set(texts)}
    return frozenset(found - {";", "{"})


def check_file_scope(tokens: Sequence[Token], statements: frozenset[str]) -> tuple[str, ...]:
    """Every declaration outside functions; returns the kernels. Namespaces and extern "C" blocks are looked into."""
    kernels: list[str] = []
    at = 0
    while at < len(tokens):
        if tokens[at].text == "}":
            at += 1
            continue
        start, at = at, _end_of_declaration(tokens, at)
        declaration = tokens[start:at]
        if _is_block(declaration):
            continue
        _check_declaration(declaration, statements)
        if at < len(tokens) and tokens[at].text == ";" and _is_function(declaration):
            raise refuse(tokens[at].line, "`;` after a body makes it a variable", STATE)
        kernels += _kernel_name(declaration)
    return tuple(kernels)


def _check_macro(row: Sequence[Token]) -> None:
    name, texts = row[2], [t.text for t in row[3:]]
    if name.kind != "word" or name.text in KEYWORDS or name.text.startswith("__"):
        raise refuse(name.line, f"`#define {name.text}`", "give the macro a name of its own")
    if _balance(texts) != 0:
        raise refuse(name.line, f"macro `{name.text}` has an open bracket", "close every bracket in the macro")
    if DECLARING & set(texts):
        raise refuse(name.line, f"macro `{name.text}` declares", "write __device__, static and the like out")


def _balance(texts: Sequence[str]) -> int:
    return sum((text in OPEN) - (text in CLOSE) for text in texts)


def _end_of_declaration(tokens: Sequence[Token], at: int) -> int:
    """The position after a declaration: its `;` or the `}` of a body; after the `{` of a namespace or extern "C"."""
    start, depth = at, 0
    while at < len(tokens):
        text = tokens[at].text
        if text == "{" and depth == 0 and _is_block(tokens[start : at + 1]):
            return at + 1
        depth += _balance([text])
        at += 1
        if depth == 0 and (text == ";" or (text == "}" and _is_function(tokens[start:at]))):
            return at
    raise refuse(tokens[start].line, "a declaration without an end", "close every bracket, and end it with `;`")


def _is_block(declaration: Sequence[Token]) -> bool:
    texts = [t.text for t in declaration]
    return texts[-1:] == ["{"] and (texts == ["extern", '"C"', "{"] or texts[:1] == ["namespace"])


def _is_function(declaration: Sequence[Token]) -> bool:
    """Whether it ends in a body that follows an argument list."""
    texts = [t.text for t in declaration]
    if "{" not in texts or texts[-1] != "}":
        return False
    head = [t for t in texts[: texts.index("{")] if t not in ("const", "noexcept")]
    return head[-1:] == [")"]


def _check_declaration(declaration: Sequence[Token], statements: frozenset[str]) -> None:
    texts, line = [t.text for t in declaration], declaration[0].line
    if declaration[0].kind != "word":
        raise refuse(line, f"`{texts[0]}` at file scope", "declare one thing at a time")
    hidden = statements & set(texts[: texts.index("{") if "{" in texts else len(texts)])
    if hidden:
        raise refuse(line, f"macro `{min(hidden)}` at file scope", "use it inside functions only")
    _check_statics(declaration)
    ends = [i for i, text in enumerate(texts) if text in ("=", "{", "(", ";")]
    head = texts[: ends[0]]
    if _is_function(declaration):
        if not {"__global__", "__device__", "__host__", "constexpr"} & set(texts):
            raise refuse(line, "a function for the host", "write __device__ or __global__ before it")
    elif not (
        head[0] in ("using", "typedef", "static_assert")
        or "constexpr" in head
        or head[:2] == ["extern", "__shared__"]
        or _is_type(texts)
    ):
        raise refuse(line, "a variable, or a declaration without a body, at file scope", STATE)


def _is_type(texts: Sequence[str]) -> bool:
    """A struct, union or enum, perhaps a template, that declares no variable after its body."""
    if "{" not in texts or texts[-2:] != ["}", ";"]:
        return False
    head = _without_alignment(texts[: texts.index("{")])
    return bool(set(TYPES) & set(head)) and not (DECLARING - {"template"}) & set(head) and "(" not in head


def _without_alignment(head: Sequence[str]) -> list[str]:
    """The words of a type's head without `__align__(16)` or `alignas(16)`."""
    found = list(head)
    for word in ("__align__", "alignas"):
        at = found.index(word) if word in found else len(found)
        if found[at + 1 : at + 2] == ["("] and found[at + 3 : at + 4] == [")"]:
            del found[at : at + 4]
    return found


def _check_statics(declaration: Sequence[Token]) -> None:
    """`static` inside braces is state, unless it is constexpr."""
    depth = 0
    for index, token in enumerate(declaration):
        depth += _balance([token.text])
        beside = {t.text for t in declaration[max(index - 1, 0) : index + 2]}
        if token.text == "static" and depth > 0 and "constexpr" not in beside:
            way = "write static constexpr, a local variable, or a function outside"
            raise refuse(token.line, "`static` keeps state between calls", way)
        if token.text in ("__device__", "__constant__") and depth > 0 and declaration[index - 1].text in ("(", ","):
            raise refuse(token.line, f"`{token.text}` inside brackets", "declare functions at file scope")


def _kernel_name(declaration: Sequence[Token]) -> list[str]:
    """The name of a `__global__` function; templates have none by which they could be launched."""
    texts = [t.text for t in declaration]
    if "__global__" not in texts or "template" in texts or not _is_function(declaration):
        return []
    head = texts[texts.index("__global__") + 1 : texts.index("{")]
    return [w for w, after in pairwise(head) if after == "(" and not w.startswith("__")][:1]
