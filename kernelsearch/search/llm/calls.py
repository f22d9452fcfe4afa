"""Asking a model, under limits that stop hard, with every call on record.

A call is a line of kind "call" in the ledger; the texts of prompt and answer are objects beside it. So the ledger is
the cache too: the same prompt to the same model with the same settings has the recorded answer, at no cost, and a study
that was killed goes on for free up to where it died. Recorded calls count towards the limits all the same, at what they
cost then: started again, a study ends where it ended.

Keys stay out of it: whatever of `secrets` turns up in a text is replaced before the text is written or shown.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelsearch.digest import digest
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger, Line, Objects
from kernelsearch.search.events import CallEnded, CallStarted, Event
from kernelsearch.search.llm.message import Answer, CallFailed, Client, Prompt, usage_from_json
from kernelsearch.search.llm.prices import Price, Prices

CALL = "call"
HIDDEN = "[secret]"
LEAST_S = 1.0


class LimitReached(Exception):
    """The next call could exceed a limit; the message says which."""


@dataclass(frozen=True)
class Limits:
    """`calls` and `cost` (USD) of a study in all, recorded ones included; `seconds` of this run."""

    calls: int | None = None
    cost: float | None = None
    seconds: float | None = None
    call_seconds: float = 600.0


@dataclass
class Spending:
    """What a study's calls came to. `cost` holds where `unpriced` is 0; `new_cost` is what this run added."""

    calls: int = 0
    recorded: int = 0
    failed: int = 0
    unpriced: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: float = 0.0
    new_cost: float = 0.0

    def as_json(self) -> dict[str, Any]:
        is_known = self.unpriced == 0
        return {
            "calls": self.calls,
            "recorded": self.recorded,
            "failed": self.failed,
            "tokens": {"prompt": self.prompt, "cached": self.cached, "completion": self.completion},
            "cost": self.cost if is_known else None,
            "new_cost": self.new_cost if is_known else None,
        }


@dataclass
class Calls:
    """The calls of one study. Only `spending` changes."""

    ledger: Ledger
    objects: Objects
    prices: Prices
    limits: Limits
    is_replay: bool = False
    secrets: Sequence[str] = ()
    on_event: Callable[[Event], None] = lambda event: None
    clock: Callable[[], float] = time.monotonic
    spending: Spending = field(default_factory=Spending)
    _started: float | None = None
    _replayed: dict[str, int] = field(default_factory=dict)

    def check(self, clients: Sequence[Client]) -> None:
        """Raises UsageError where a limit on cost could not be held, because nobody knows a model's price."""
        for client in clients:
            if self.limits.cost is not None and self._price(client) is None:
                known = ", ".join(sorted(f"{provider}/{model}" for provider, model in self.prices))
                raise UsageError(
                    f"max-cost={self.limits.cost}: the price of {client.provider}/{client.model} is not known; give it "
                    f"with --prices FILE, or limit --max-calls instead (priced are {known})"
                )

    def ask(self, client: Client, prompt: Prompt) -> tuple[Answer, Line]:
        """The answer and its record. Raises LimitReached before a call, CallFailed after one."""
        if self._started is None:
            self._started = self.clock()
        left = self._check_limits(client, prompt)
        key = digest([client.provider, client.model, dict(client.settings()), prompt.as_json()])
        line = self._recorded(key)
        if line is None:
            line = self._call(client, prompt, key, left)
        else:
            self.spending.recorded += 1
        return self._take(line)

    def _check_limits(self, client: Client, prompt: Prompt) -> float:
        """The seconds this call may take."""
        limits, price = self.limits, self._price(client)
        if limits.calls is not None and self.spending.calls >= limits.calls:
            raise LimitReached(f"the limit of {limits.calls} calls is reached")
        if limits.cost is not None:
            assert price is not None, "checked before the first call"
            highest = price.highest_cost(prompt, client.answer_tokens)
            if self.spending.cost + highest > limits.cost:
                raise LimitReached(
                    f"{self.spending.cost:.4f} USD are spent, and one more call could cost {highest:.4f} USD: "
                    f"that could exceed the limit of {limits.cost} USD"
                )
        left = limits.call_seconds
        if limits.seconds is not None and self._started is not None:
            left = min(left, limits.seconds - (self.clock() - self._started))
        if left < LEAST_S:
            raise LimitReached("the time is over")
        return left

    def _recorded(self, key: str) -> Line | None:
        """The record that answers: the last answer, or when replaying the failures too, each in its turn."""
        lines = self.ledger.find(CALL, key=key)
        answered = [line for line in lines if line.body["error"] is None]
        if not self.is_replay:
            return answered[-1] if answered else None
        failures = [line for line in lines if line.body["error"] is not None]
        turn = self._replayed.get(key, 0)
        self._replayed[key] = turn + 1
        if not answered and turn < len(failures):
            return failures[turn]
        if not answered:
            raise UsageError(
                f"replay: no answer is recorded for call {self.spending.calls + 1} of this study; its prompt, model or "
                "settings differ from what was recorded. Leave --replay out to ask the model"
            )
        return answered[-1]

    def _call(self, client: Client, prompt: Prompt, key: str, timeout_s: float) -> Line:
        number, size = self.spending.calls + 1, len((prompt.stable + prompt.turn).encode())
        self.on_event(CallStarted(number, client.provider, client.model, size))
        started, answer, failure = self.clock(), None, None
        try:
            answer = client.send(prompt, timeout_s)
        except CallFailed as error:
            failure = error
        latency, cost = self.clock() - started, self._cost(client, answer)
        tokens = None if answer is None or answer.usage is None else answer.usage.as_json()
        reason = None if failure is None else self._hide(str(failure))
        body = {
            "key": key,
            "provider": client.provider,
            "model": client.model,
            "settings": dict(client.settings()),
            "prompt": self.objects.put(self._hide(json.dumps(prompt.as_json(), indent=1))),
            "answer": None if answer is None else self.objects.put(self._hide(answer.text)),
            "is_cut_off": answer is not None and answer.is_cut_off,
            "tokens": tokens,
            "cost": cost,
            "latency_s": round(latency, 3),
            "error": reason,
            "is_permanent": failure is not None and failure.is_permanent,
        }
        line = self.ledger.append(CALL, body)
        self.spending.new_cost += cost or 0.0
        self.on_event(CallEnded(number, client.provider, client.model, tokens, cost, reason, latency))
        return line

    def _take(self, line: Line) -> tuple[Answer, Line]:
        body, spent = line.body, self.spending
        spent.calls += 1
        if body["error"] is not None:
            spent.failed += 1
            raise CallFailed(body["error"], is_permanent=body["is_permanent"])
        tokens: Mapping[str, int] = body["tokens"] or {}
        spent.prompt += tokens.get("prompt", 0)
        spent.cached += tokens.get("cached", 0)
        spent.completion += tokens.get("completion", 0)
        spent.unpriced += body["cost"] is None
        spent.cost += body["cost"] or 0.0
        usage = usage_from_json(tokens) if tokens else None
        return Answer(self.objects.get(body["answer"]), usage, body["is_cut_off"], body["cost"]), line

    def _cost(self, client: Client, answer: Answer | None) -> float | None:
        """What the other side told, or the price of the tokens; a call that failed costs nothing."""
        if answer is None:
            return 0.0
        if answer.cost is not None:
            return answer.cost
        price = self._price(client)
        return price.cost(answer.usage) if price is not None and answer.usage is not None else None

    def _price(self, client: Client) -> Price | None:
        return self.prices.get((client.provider, client.model))

    def _hide(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text
