"""The two SDKs behind one protocol: anything that speaks OpenAI's protocol, and Anthropic.

Retries after rate limits and server errors are the SDKs' own, and heed the server's retry-after. They are imported when
the first client is made: that takes seconds, and they are an extra.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any

from kernelsearch.errors import EnvironmentMissing
from kernelsearch.search.llm.message import Answer, CallFailed, Prompt, Usage

RETRIES = 4
ANSWER_TOKENS = 16_384
PERMANENT = frozenset((400, 401, 403, 404, 422))


@dataclass(frozen=True)
class OpenAIClient:
    """A model behind OpenAI's chat completions: OpenAI itself, or with a `base_url` any server that speaks it."""

    model: str
    key: str = field(repr=False)
    base_url: str | None = None
    answer_tokens: int = ANSWER_TOKENS

    @property
    def provider(self) -> str:
        return "openai" if self.base_url is None else "openai-compatible"

    def settings(self) -> Mapping[str, Any]:
        return {"base_url": self.base_url, "answer_tokens": self.answer_tokens}

    @cached_property
    def _client(self) -> Any:
        return _sdk("openai").OpenAI(api_key=self.key, base_url=self.base_url, max_retries=RETRIES)

    def send(self, prompt: Prompt, timeout_s: float) -> Answer:
        # Other servers know the older name; OpenAI's newer models refuse it.
        limit = "max_completion_tokens" if self.base_url is None else "max_tokens"
        asked: dict[str, Any] = {limit: self.answer_tokens}
        if prompt.schema is not None:
            schema = {"name": "tunables", "strict": True, "schema": prompt.schema}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        messages = [{"role": "system", "content": prompt.stable}, {"role": "user", "content": prompt.turn}]
        sdk, client = _sdk("openai"), self._client.with_options(timeout=timeout_s)
        try:
            done = client.chat.completions.create(model=self.model, messages=messages, **asked)
        except sdk.APIError as error:
            raise _failed(error) from None
        if not done.choices:
            raise CallFailed("the server answered without a choice", is_permanent=False)
        choice = done.choices[0]
        return Answer(choice.message.content or "", _openai_usage(done.usage), choice.finish_reason == "length")


@dataclass(frozen=True)
class AnthropicClient:
    """A model at Anthropic. The stable part of the prompt is marked for its cache, which halves a study's price."""

    model: str
    key: str = field(repr=False)
    base_url: str | None = None
    answer_tokens: int = ANSWER_TOKENS

    @property
    def provider(self) -> str:
        return "anthropic" if self.base_url is None else "anthropic-compatible"

    def settings(self) -> Mapping[str, Any]:
        return {"base_url": self.base_url, "answer_tokens": self.answer_tokens}

    @cached_property
    def _client(self) -> Any:
        return _sdk("anthropic").Anthropic(
            api_key=self.key, auth_token=None, base_url=self.base_url, max_retries=RETRIES
        )

    def send(self, prompt: Prompt, timeout_s: float) -> Answer:
        system = [{"type": "text", "text": prompt.stable, "cache_control": {"type": "ephemeral"}}]
        asked: dict[str, Any] = {}
        if prompt.schema is not None:
            asked["output_config"] = {"format": {"type": "json_schema", "schema": prompt.schema}}
        sdk, client = _sdk("anthropic"), self._client.with_options(timeout=timeout_s)
        try:
            done = client.messages.create(
                model=self.model,
                max_tokens=self.answer_tokens,
                system=system,
                messages=[{"role": "user", "content": prompt.turn}],
                **asked,
            )
        except sdk.APIError as error:
            raise _failed(error) from None
        text = "".join(block.text for block in done.content if block.type == "text")
        return Answer(text, _anthropic_usage(done.usage), done.stop_reason == "max_tokens")


def _sdk(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise EnvironmentMissing(f"the package {name} is not installed: pip install 'kernelsearch[llm]'") from None


def _failed(error: Any) -> CallFailed:
    status = getattr(error, "status_code", None)
    head = f"status {status}: " if status is not None else f"{type(error).__name__}: "
    return CallFailed(head + str(error.message)[:300], is_permanent=status in PERMANENT)


def _openai_usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    cached = (getattr(details, "cached_tokens", None) or 0) if details is not None else 0
    return Usage(usage.prompt_tokens - cached, cached, 0, usage.completion_tokens)


def _anthropic_usage(usage: Any) -> Usage:
    cached, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    return Usage(usage.input_tokens, cached, written, usage.output_tokens)
