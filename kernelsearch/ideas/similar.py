"""How alike two ideas are, by their words: enough to notice that somebody files the same idea again.

Dice's coefficient of two sets of word stems (Dice 1945), with words that occur in everything left out. Deliberately
plain: it sees the same idea in the same words, not the same idea in others, and the caller can always insist.
"""

import re

ALIKE = 0.65
# Small words, and those that nearly every idea about a kernel has.
COMMON = frozenset(
    {"a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "instead", "into", "is", "it", "its"}
    | {"kernel", "of", "on", "one", "only", "or", "per", "rather", "so", "than", "that", "the", "then", "this", "to"}
    | {"use", "using", "when", "which", "with", "without"}
)
_WORD = re.compile(r"[a-z]+|\d+")
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ers", "ed", "es", "er", "s", "e", "y")


def likeness(one: str, other: str) -> float:
    """From 0, no word in common, to 1, the same words."""
    a, b = stems(one), stems(other)
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 1.0


def stems(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _WORD.findall(text.lower()) if word not in COMMON)


def _stem(word: str) -> str:
    """The word without a common ending, never shorter than four letters."""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
