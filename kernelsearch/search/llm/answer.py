"""Reading a model's answer: one fenced block of code with a small header, or tunables as JSON."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kernelsearch.spec import Value, tunable_space
from kernelsearch.spec.candidate import MAXIMUM_SOURCE_BYTES

MAXIMUM_NAME, MAXIMUM_IDEA = 40, 300
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$", re.MULTILINE)
_FIELD = re.compile(r"^[\s*#>-]*(name|idea)[\s*]*:[\s*]*(.+?)[\s*]*$", re.MULTILINE | re.IGNORECASE)


class Useless(Exception):
    """An answer that is no proposal; the message goes back to the model."""


@dataclass(frozen=True)
class Draft:
    """Code as it was proposed, and what its author calls it."""

    source: str
    name: str
    idea: str


def read_draft(text: str) -> Draft:
    """The one block of an answer. Raises Useless."""
    text = _THOUGHTS.sub("", text)
    if not text.strip():
        raise Useless("the answer was empty")
    blocks, prose = _blocks(text)
    if not blocks:
        raise Useless("the answer held no fenced code block")
    if len(blocks) > 1:
        raise Useless(f"the answer held {len(blocks)} fenced code blocks; exactly one was asked for")
    fields = {name.lower(): value for name, value in reversed(_FIELD.findall(prose))}
    return make_draft(blocks[0], fields.get("name", ""), fields.get("idea", ""))


def make_draft(source: str, name: str = "", idea: str = "") -> Draft:
    """Raises Useless for a source that is empty or too long."""
    if not source.strip():
        raise Useless("the code was empty")
    if len(source.encode()) > MAXIMUM_SOURCE_BYTES:
        raise Useless(f"the code had {len(source.encode())} bytes; at most {MAXIMUM_SOURCE_BYTES} are read")
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:MAXIMUM_NAME]
    return Draft(source, plain, " ".join(idea.split())[:MAXIMUM_IDEA])


def _blocks(text: str) -> tuple[list[str], str]:
    """The contents of all fenced blocks, and the text outside of them."""
    blocks: list[str] = []
    prose: list[str] = []
    at = 0
    while (opening := _FENCE.search(text, at)) is not None:
        prose.append(text[at : opening.start()])
        closing = re.compile(rf"^[ \t]{{0,3}}{re.escape(opening[1])}[ \t]*$", re.MULTILINE).search(text, opening.end())
        if closing is None:
            raise Useless("the code block was not closed: the answer was cut off, or its last fence is missing")
        blocks.append(text[opening.end() + 1 : closing.start()])
        at = closing.end()
    return blocks, "".join([*prose, text[at:]])


def tunables_schema(source: str) -> dict[str, object]:
    """The JSON schema of one binding of a source's tunables, with the reason for it."""
    space = tunable_space(source)
    properties: dict[str, object] = {"idea": {"type": "string"}}
    for name, values in space.items():
        kind = "integer" if all(isinstance(value, int) for value in values) else "string"
        properties[name] = {"type": kind, "enum": list(values)}
    return {"type": "object", "properties": properties, "required": ["idea", *space], "additionalProperties": False}


def read_tunables(text: str, space: Mapping[str, Sequence[Value]]) -> tuple[dict[str, Value], str]:
    """A declared value for every tunable, and the reason given. Raises Useless."""
    text = _THOUGHTS.sub("", text).strip()
    if text.startswith("```"):  # some servers put even enforced JSON into a fence
        text = "\n".join(text.splitlines()[1:-1])
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Useless("the answer was not JSON") from None
    if not isinstance(found, dict):
        raise Useless("the answer was not a JSON object")
    for name, values in space.items():
        value = found.get(name)
        if isinstance(value, bool) or value not in values:
            listed = " ".join(map(str, values))
            raise Useless(f"{name} must be one of {listed}")
    return {name: found[name] for name in space}, " ".join(str(found.get("idea", "")).split())[:MAXIMUM_IDEA]
