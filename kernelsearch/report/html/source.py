"""Sources as highlighted HTML. Few classes and no inline style: a page holds a hundred kilobytes of source."""

from collections.abc import Iterator
from difflib import SequenceMatcher, unified_diff
from functools import lru_cache

from markupsafe import Markup, escape

from kernelsearch.errors import EnvironmentMissing
from kernelsearch.report.text import shown
from kernelsearch.spec import Candidate, Value, tunable_space

_LEXERS = {"cpp": "cpp", "python": "python", "triton": "python", "cuda": "python", "diff": "diff"}


@lru_cache(maxsize=256)  # a live page shows the same sources again
def highlight(text: str, language: str) -> Markup:
    """`text` escaped, with spans of class h-NAME around what stands out in `language`, or in a "diff"."""
    try:
        from pygments.lexers import get_lexer_by_name
    except ImportError:
        raise EnvironmentMissing(
            "the HTML report highlights with pygments; install it with `pip install 'kernelsearch[report]'`"
        ) from None
    lexer = get_lexer_by_name(_LEXERS.get(language, "text"), stripnl=False)
    return Markup("").join(_spans(lexer.get_tokens(shown(text))))


def _spans(tokens: Iterator[tuple[object, str]]) -> Iterator[Markup]:
    for kind, text in tokens:
        name = _class(str(kind).removeprefix("Token."))
        yield Markup('<span class="h-{}">{}</span>').format(name, text) if name else escape(text)


def _class(kind: str) -> str | None:
    found = (name for start, name in _CLASSES if kind.startswith(start))
    return next(found, None)


_CLASSES = (
    ("Comment.Preproc", "pre"),
    ("Comment", "com"),
    ("Keyword.Type", "typ"),
    ("Keyword", "key"),
    ("Literal.String", "str"),
    ("Literal.Number", "num"),
    ("Name.Function", "fun"),
    ("Generic.Inserted", "add"),
    ("Generic.Deleted", "del"),
    ("Generic.Subheading", "hun"),
)


def closest_parent(candidate: Candidate, seeds: dict[str, str]) -> str | None:
    """The seed that a candidate came from: the first that its origin names, else the one with the most in common."""
    named = [name for name in candidate.origin.split("+") if name in seeds]
    if named:
        return named[0]
    same = [name for name, source in seeds.items() if source == candidate.source]
    if same:
        return same[0]
    return max(seeds, key=lambda name: _likeness(seeds[name], candidate.source), default=None)


@lru_cache(maxsize=256)
def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=False).ratio()


@lru_cache(maxsize=256)
def _unified(old: tuple[str, ...], new: tuple[str, ...], name: str, digest: str) -> str:
    return "\n".join(unified_diff(old, new, f"seed {name}", f"kernel {digest}", n=2, lineterm=""))


def difference(candidate: Candidate, name: str, source: str) -> str:
    """A unified diff from seed `name` at its defaults; the tunables stand before each source as `NAME = value`."""
    defaults = {tunable: values[0] for tunable, values in tunable_space(source).items()}
    old, new = _bound(source, defaults), _bound(candidate.source, dict(candidate.tunables))
    return _unified(tuple(old), tuple(new), name, candidate.digest[:12])


def _bound(source: str, tunables: dict[str, Value]) -> list[str]:
    return [*(f"{name} = {value}" for name, value in sorted(tunables.items())), "", *source.splitlines()]
