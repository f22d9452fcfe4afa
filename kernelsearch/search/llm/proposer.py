"""Proposals by language models or a coding agent: prompt, call, answer, candidate.

Every seed is proposed first, as it is: the models then see records that were measured here. After that one call is one
proposal, and every `tune_every`-th one asks for a binding of the best source's tunables alone. An answer that is no
proposal is recorded, told in the next prompt, and the study goes on; `patience` of them in a row end it. Several models
share the calls through a bandit.

Everything asked depends on the seeds, the verdicts and the recorded answers only, so that a study repeats.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kernelsearch.errors import ContractError, EnvironmentMissing
from kernelsearch.ledger import Line
from kernelsearch.search.idea import Ideas, no_ideas
from kernelsearch.search.llm.answer import Useless, make_draft, read_draft, read_tunables, tunables_schema
from kernelsearch.search.llm.bandit import Bandit
from kernelsearch.search.llm.calls import Calls, LimitReached
from kernelsearch.search.llm.facts import Facts
from kernelsearch.search.llm.message import Answer, CallFailed, Client, Prompt
from kernelsearch.search.llm.prompt import Attempt, Sizes, best_records, folder_files, stable_part, turn_part
from kernelsearch.search.proposer import REJECTED, Trial
from kernelsearch.spec import Candidate, read_candidate, tunable_space
from kernelsearch.spec.candidate import count_bindings

FAILURES_OF_A_MODEL = 3


@dataclass(frozen=True)
class Asking:
    """`is_folder`: who is asked works in a folder, gets files and writes one; `seed` is the bandit's."""

    seed: int = 0
    patience: int = 8
    tune_every: int = 4
    is_folder: bool = False
    sizes: Sizes = field(default_factory=Sizes)


class ModelProposer:
    """Asks `clients` for kernels. `remarks` says what the compiler has to say of a candidate; it must repeat itself."""

    def __init__(
        self,
        name: str,
        seeds: Sequence[Candidate],
        clients: Sequence[Client],
        calls: Calls,
        facts: Facts,
        how: Asking,
        *,
        ideas: Ideas = no_ideas,
        remarks: Callable[[Candidate], str] = lambda candidate: "",
    ) -> None:
        calls.check(clients)
        self._name, self._calls, self._facts, self._how = name, calls, facts, how
        self._clients = {f"{client.provider}/{client.model}": client for client in clients}
        self._ideas, self._remarks = ideas, remarks
        self._seeds = deque({seed.digest: seed for seed in seeds}.values())
        self._origins = [seed.origin for seed in seeds]
        self._stable = stable_part(facts, how.sizes, is_folder=how.is_folder)
        self._bandit = Bandit(tuple(self._clients), how.seed)
        self._failures = dict.fromkeys(self._clients, 0)
        self._attempts: list[Attempt] = []
        self._pending: dict[str, tuple[str, float]] = {}
        self._asked: set[str] = set()
        self._explained: dict[str, str] = {}
        self._tunes = how.tune_every > 0 and not how.is_folder
        self.ending = ""

    @property
    def name(self) -> str:
        return self._name

    @property
    def calls(self) -> Calls:
        return self._calls

    def describe(self) -> Mapping[str, Any]:
        return {
            "models": list(self._clients),
            "settings": {name: dict(client.settings()) for name, client in self._clients.items()},
            "seeds": self._origins,
            "seed": self._how.seed,
            "patience": self._how.patience,
            "tune_every": self._how.tune_every,
        }

    def ask(self, history: Sequence[Trial]) -> Candidate | None:
        candidate = self._seeds.popleft() if self._seeds else None
        while candidate is None and not self.ending:
            candidate = self._propose(history)
        if candidate is not None:
            self._asked.add(candidate.digest)
        return candidate

    def tell(self, trial: Trial) -> None:
        if trial.candidate.digest not in self._pending:
            return
        model, to_beat = self._pending.pop(trial.candidate.digest)
        self._attempts[-1] = replace(self._attempts[-1], trial=trial)
        self._bandit.count(model, is_improvement=trial.verdict.passed and trial.score > to_beat)

    def spending(self) -> dict[str, Any]:
        """What the study's calls came to, in all and by model."""
        return {**self._calls.spending.as_json(), "models": self._bandit.calls()}

    def _propose(self, history: Sequence[Trial]) -> Candidate | None:
        """One call and what became of it; None where it gave no candidate."""
        number = len(self._attempts) + 1
        useless = [attempt.reason for attempt in self._attempts[-self._how.patience :] if attempt.trial is None]
        if len(useless) == self._how.patience:
            self.ending = f"{len(useless)} answers in a row held no proposal (the last: {useless[-1]})"
            return None
        tuned = self._to_tune(history, number)
        prompt = self._prompt(history, number, tuned)
        answered = self._call(number, prompt)
        if answered is None:
            return None
        model, answer, line = answered
        try:
            candidate, idea = self._read(answer, tuned, number)
            if candidate.digest in self._asked | {trial.candidate.digest for trial in history}:
                raise Useless("it was the same as a kernel that was judged before")
        except (Useless, ContractError) as error:
            self._record(line, None, str(error), "")
            self._attempts.append(Attempt("", "", None, str(error)))
            self._bandit.count(model, is_improvement=False)
            return None
        self._record(line, candidate, None, idea)
        self._attempts.append(Attempt(candidate.origin, idea, None))
        self._pending[candidate.digest] = model, max((trial.score for trial in history), default=REJECTED)
        return candidate

    def _prompt(self, history: Sequence[Trial], number: int, tuned: Candidate | None) -> Prompt:
        best = best_records(history, 1)
        turn = turn_part(
            self._facts,
            history,
            self._attempts,
            self._how.sizes,
            number=number,
            remarks=self._explain(best[0].candidate) if best and tuned is None else "",
            idea=self._ideas(history) if tuned is None else None,
            tuned=tuned,
        )
        schema = tunables_schema(tuned.source) if tuned is not None else None
        files = folder_files(self._facts, history, self._how.sizes) if self._how.is_folder else {}
        return Prompt(self._stable, turn, schema, files)

    def _to_tune(self, history: Sequence[Trial], number: int) -> Candidate | None:
        """The best source, where this proposal is to be one of numbers and it has bindings that nobody tried."""
        best = best_records(history, 1)
        if not best or not self._tunes or number % self._how.tune_every:
            return None
        candidate = best[0].candidate
        tried = {trial.candidate.digest for trial in history if trial.candidate.source == candidate.source}
        return candidate if len(tried) < count_bindings(candidate.source) else None

    def _read(self, answer: Answer, tuned: Candidate | None, number: int) -> tuple[Candidate, str]:
        if answer.is_cut_off:
            raise Useless("the answer was cut off at the most tokens it may have; write less around the code")
        if tuned is not None:
            values, idea = read_tunables(answer.text, tunable_space(tuned.source))
            return tuned.bind(**values), idea
        draft = make_draft(answer.text) if self._how.is_folder else read_draft(answer.text)
        origin = draft.name or f"{self._name}-{number}"
        return read_candidate(self._facts.target, self._facts.language, draft.source, origin), draft.idea

    def _call(self, number: int, prompt: Prompt) -> tuple[str, Answer, Line] | None:
        """The answer of the model whose turn it is, asked again after a failure; None once nobody can be asked."""
        while usable := [name for name, count in self._failures.items() if count < FAILURES_OF_A_MODEL]:
            model = self._bandit.choose(number, usable)
            try:
                answer, line = self._calls.ask(self._clients[model], prompt)
            except LimitReached as limit:
                self.ending = str(limit)
                return None
            except CallFailed as failure:
                if failure.is_permanent and prompt.schema is not None:
                    self._tunes = False  # many local servers know no schemas; the next question has none
                    return None
                self._failures[model] += FAILURES_OF_A_MODEL if failure.is_permanent else 1
                reason = f"{model} cannot be asked: {failure}"
                continue
            self._failures[model] = 0
            return model, answer, line
        if not self._attempts:
            raise EnvironmentMissing(f"model={reason}")
        self.ending = reason
        return None

    def _record(self, line: Line, candidate: Candidate | None, failure: str | None, idea: str) -> None:
        """What became of a call, once."""
        ledger = self._calls.ledger
        if not ledger.find("proposal", call=line.digest):
            digest = candidate.digest if candidate is not None else None
            body = {"call": line.digest, "proposer": self._name, "candidate": digest, "failure": failure, "idea": idea}
            ledger.append("proposal", body)

    def _explain(self, candidate: Candidate) -> str:
        if candidate.digest not in self._explained:
            self._explained[candidate.digest] = self._remarks(candidate)
        return self._explained[candidate.digest]
