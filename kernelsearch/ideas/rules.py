"""Ideas from passages by rules alone. They find what is written down as an idea, and sentences that report a gain.

    - keep the row in registers
      target: mix_norm
      predicts: 1.2x

A note is an item or paragraph with a `target:` line; `predicts:`, `against:` and `device:` are optional. A report is a
sentence that names what a target computes and a speedup. What a report promises here, nobody has predicted: it is filed
as a quotation, without an effect. Rules do not understand: they miss ideas in other words, and file what only sounds
like one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kernelsearch.errors import UsageError
from kernelsearch.ideas.documents import Passage
from kernelsearch.spec import Idea
from kernelsearch.spec.idea import idea_from_json

AUTHOR = "reader by rules"
LONGEST_SENTENCE = 400
_FIELD = re.compile(r"^\s*(?:[-*]\s+)?\**(target|predicts|against|device|dtype)\**\s*:\**\s*(.+?)\s*$", re.IGNORECASE)
_MARK = re.compile(r"^\s*(?:[-*+]|\d+[.)]|#+)\s+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(\"'])")
_GAIN = re.compile(
    r"\d(?:\.\d+)?\s?(?:x|\u00d7|times)\s+(?:speed-?up|faster|improvement|higher throughput)"
    r"|\d(?:\.\d+)?\s?(?:x|\u00d7)\s+(?:over|vs\.?|versus|against|than)\b"
    r"|speed-?ups?\s+(?:of|by|up to)\s+(?:up to\s+)?\d+(?:\.\d+)?\s?(?:x|\u00d7|%)"
    r"|\d+(?:\.\d+)?\s?%\s+(?:faster|less time|speed-?up|lower latency)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Refused:
    """What looked like an idea and was none, and why."""

    citation: str
    why: str


def extract(passages: Iterable[Passage], words: Mapping[str, tuple[str, ...]]) -> tuple[list[Idea], list[Refused]]:
    """Ideas for the targets in `words`, which tells by what words each is known."""
    ideas: list[Idea] = []
    refused: list[Refused] = []
    for passage in passages:
        fields, text = _note(passage.text)
        try:
            if "target" in fields:
                ideas.append(_idea(fields, text, passage, words))
            else:
                ideas += _reports(passage, words)
        except UsageError as error:
            refused.append(Refused(passage.citation, str(error)))
    return ideas, refused


def _note(text: str) -> tuple[dict[str, str], str]:
    """The `key: value` lines of a passage, and the rest as one text."""
    fields: dict[str, str] = {}
    rest = []
    for line in text.splitlines():
        match = _FIELD.match(line)
        if match:
            fields[match[1].lower()] = match[2].strip("`")
        else:
            rest.append(_MARK.sub("", line).strip())
    return fields, " ".join(rest)


def _idea(fields: Mapping[str, str], text: str, passage: Passage, words: Mapping[str, tuple[str, ...]]) -> Idea:
    if fields["target"] not in words:
        raise UsageError(f"target={fields['target']!r}: choose from {', '.join(sorted(words))}")
    return idea_from_json({**fields, "text": text, "source": passage.citation, "author": AUTHOR})


def _reports(passage: Passage, words: Mapping[str, tuple[str, ...]]) -> list[Idea]:
    found = []
    for sentence in _SENTENCE.split(" ".join(passage.text.split())):
        target = _target_of(sentence, words)
        if target is not None and len(sentence) <= LONGEST_SENTENCE and _GAIN.search(sentence):
            plain = _MARK.sub("", sentence)
            found.append(Idea(f'Reported, to be tried: "{plain}"', target, source=passage.citation, author=AUTHOR))
    return found


def _target_of(sentence: str, words: Mapping[str, tuple[str, ...]]) -> str | None:
    """The target whose words are named; of several, the one with the longest word."""
    low = re.sub(r"[-_ ]+", " ", sentence.lower())
    named = [(len(word), target) for target, known in words.items() for word in known if _has(low, word)]
    return max(named)[1] if named else None


def _has(sentence: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(re.sub(r'[-_ ]+', ' ', word.lower()))}\b", sentence) is not None
