"""From the text of a Triton or CUDA candidate to a syntax tree that is safe to walk.

What the eye reads, what the parser reads and what a file would be decoded as must be the same text: encodings, control
and invisible characters are settled here, and a tree that is too deep or too large is refused before anybody recurses.
"""

import ast
import io
import re
import tokenize
import unicodedata
import warnings

from kernelsearch.errors import ContractError

MAXIMUM_BYTES = 128 * 1024
MAXIMUM_NODES = 20_000
MAXIMUM_DEPTH = 60
_COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def refuse(line: int, what: str, instead: str) -> ContractError:
    """The error for one line: what is not allowed there, and how to write what was meant."""
    return ContractError(f"line {line}: {what}; {instead}")


def parse_source(source: str) -> ast.Module:
    """The syntax tree; raises ContractError for text that cannot be read in one way only, or would be a bomb."""
    _check_characters(source)
    _check_cookie(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in a string is no reason to print
            tree = ast.parse(source)
    except SyntaxError as error:
        raise refuse(error.lineno or 1, f"is not Python ({error.msg})", "correct the syntax") from None
    except (ValueError, RecursionError, MemoryError) as error:
        text = f"cannot be parsed ({type(error).__name__})"
        raise refuse(1, text, "nest expressions and blocks less deeply, and write shorter literals") from None
    _check_identifiers(source)
    _check_extent(tree)
    return tree


def _check_characters(source: str) -> None:
    if len(source) > MAXIMUM_BYTES:
        raise ContractError(f"source of {len(source)} characters: a candidate has at most {MAXIMUM_BYTES}")
    for number, line in enumerate(source.replace("\r\n", "\n").split("\n"), start=1):
        for character in line:
            category = unicodedata.category(character)
            if character != "\t" and (category in ("Zl", "Zp") or category[0] == "C"):
                what = f"character U+{ord(character):04X} is invisible or reorders the text"
                raise refuse(number, what, "delete it; indent with spaces and end lines with a newline")


def _check_cookie(source: str) -> None:
    for number, line in enumerate(source.split("\n")[:2], start=1):
        found = _COOKIE.match(line)
        if found and found[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
            raise refuse(number, f"coding {found[1]!r} would give the text another meaning", "delete it: UTF-8 is read")


def _check_identifiers(source: str) -> None:
    """Letters that only look like ASCII become ASCII in the syntax tree, so the text itself is asked."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if not token.string.isascii() and token.type not in (tokenize.COMMENT, tokenize.STRING):
                raise refuse(token.start[0], f"{token.string!r} is not ASCII", "name it in ASCII letters")
    except (tokenize.TokenError, SyntaxError) as error:
        raise refuse(1, f"cannot be split into tokens ({error})", "correct the syntax") from None


def _check_extent(tree: ast.Module) -> None:
    """Counts nodes and levels without recursing."""
    level: list[ast.AST] = [tree]
    count = 0
    for _ in range(MAXIMUM_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        count += len(level)
        if count > MAXIMUM_NODES:
            raise refuse(1, f"more than {MAXIMUM_NODES} syntax nodes", "write a smaller file")
        if not level:
            return
    lines = [node.lineno for node in level if isinstance(node, ast.expr | ast.stmt)]
    raise refuse(min(lines, default=1), f"nested more than {MAXIMUM_DEPTH} levels deep", "name intermediate results")
