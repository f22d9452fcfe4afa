"""The proposers of `kernelsearch optimize` by name, made from its options."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelsearch.build.remarks import vectorisation_remarks
from kernelsearch.cli.machine import gather_facts
from kernelsearch.cli.workplace import Workplace
from kernelsearch.digest import digest
from kernelsearch.errors import UsageError
from kernelsearch.ledger import Ledger, Objects
from kernelsearch.search import (
    Event,
    EvolveProposer,
    FileProposer,
    Proposer,
    RandomProposer,
    ReplayProposer,
    Space,
    SurrogateProposer,
    SweepProposer,
    recorded_candidates,
    templates,
)
from kernelsearch.search.llm import (
    AgentClient,
    AnthropicClient,
    Asking,
    Calls,
    Client,
    Confinement,
    Limits,
    ModelProposer,
    OpenAIClient,
    read_prices,
)
from kernelsearch.spec import Candidate, Idea, Target, TargetFolder, Workload
from kernelsearch.spec.library import SUFFIXES

SEARCHES = ("surrogate", "evolve", "sweep", "random")
WRITERS = ("llm", "command")  # of sources of their own
PROPOSERS = (*SEARCHES, *WRITERS, "replay", "file")
PROVIDERS = {"openai": "OPENAI", "anthropic": "ANTHROPIC"}


@dataclass(frozen=True)
class ModelOptions:
    """What `llm`, `command` and `replay` are told on the command line.

    `made`: clients made before, with the keys that must appear nowhere, for who makes several proposers.
    """

    models: tuple[str, ...] = ()
    base_url: str | None = None
    answer_tokens: int = 16_384
    maximum_calls: int | None = None
    maximum_cost: float | None = None
    prices: Path | None = None
    replay: bool = False
    agent_command: str | None = None
    agent_read: tuple[Path, ...] = ()
    agent_env: tuple[str, ...] = ()
    call_seconds: float = 600.0
    source: Path | None = None
    study: str | None = None
    made: tuple[list[Client], tuple[str, ...]] | None = None


@dataclass(frozen=True)
class Ground:
    """What a search stands on: the target and its seeds, and where calls are recorded.

    `given` are the user's files; `idea` is what proposers that write sources are asked to carry out.
    """

    place: Workplace
    folder: TargetFolder
    language: str
    dtype: str
    workloads: tuple[Workload, ...]
    context: Mapping[str, object]
    seeds: list[Candidate]
    given: list[Candidate]
    seed: int
    seconds: float
    idea: Idea | None = None


def choose_proposers(
    name: str, ground: Ground, options: ModelOptions, on_event: Callable[[Event], None]
) -> list[Proposer]:
    """The proposers called `name`. Raises UsageError where its options are missing."""
    if name not in PROPOSERS:
        raise UsageError(f"proposer={name!r}: choose from {', '.join(PROPOSERS)}")
    if name == "file":
        if not ground.given:
            raise UsageError("candidate is missing: --proposer file judges what is given with --candidate FILE")
        return [FileProposer(ground.given)]
    if name == "replay":
        return [make_replay(ground, options)]
    if name in WRITERS:
        made: list[Proposer] = [make_model_proposer(name, ground, options, on_event)]
    else:
        made = make_searches(name, ground.folder.target, ground.seeds, ground.seed)
    return idea_first(made, ground.given, ground.idea)


def idea_first(proposers: list[Proposer], given: list[Candidate], idea: Idea | None) -> list[Proposer]:
    """With an idea, the files that carry it out come first: a short study must not end before they were judged."""
    return proposers if idea is None or not given else [FileProposer(given), *proposers]


def make_searches(name: str, target: Target, seeds: list[Candidate], seed: int) -> list[Proposer]:
    """The search of that name, and random search over the same sources beside it."""
    if name == "sweep":
        return [SweepProposer(seeds, seed), RandomProposer(seeds, seed + 1)]
    beside = RandomProposer([template.candidate for template in templates(target, Space(seeds).seeds)], seed + 1)
    if name == "surrogate":
        return [SurrogateProposer(seeds, seed, target), beside]
    return [EvolveProposer(seeds, seed, target), beside] if name == "evolve" else [beside]


def make_replay(ground: Ground, options: ModelOptions) -> ReplayProposer:
    """Candidates of another state folder's ledger, or of this one's."""
    home = options.source if options.source is not None else ground.place.state_dir
    path = home / "ledger.jsonl" if home.is_dir() else home
    if not path.is_file():
        raise UsageError(f"from={str(home)!r}: there is no ledger; give a state folder or its ledger.jsonl")
    ledger = ground.place.ledger if path.resolve() == ground.place.ledger_path.resolve() else Ledger(path)
    objects = Objects(path.parent / "objects")
    found = recorded_candidates(ledger, objects, ground.folder.target.name, ground.language, options.study)
    return ReplayProposer(found, digest([line.digest for line in ledger][:1]))


def make_model_proposer(
    name: str, ground: Ground, options: ModelOptions, on_event: Callable[[Event], None]
) -> ModelProposer:
    place, context = ground.place, digest(dict(ground.context))
    is_folder = name == "command"
    clients, secrets = make_agent(ground, options) if is_folder else options.made or make_clients(options)
    calls = Calls(
        place.ledger,
        place.objects,
        read_prices(options.prices),
        Limits(options.maximum_calls, options.maximum_cost, ground.seconds, options.call_seconds),
        options.replay,
        secrets,
        on_event,
    )
    calls.check(clients)  # before anything is measured
    return ModelProposer(
        name,
        ground.seeds,
        clients,
        calls,
        gather_facts(place, ground.folder, ground.language, ground.dtype, ground.workloads, context),
        Asking(ground.seed, is_folder=is_folder),
        ideas=lambda history: ground.idea,
        remarks=make_remarks(ground),
    )


def make_clients(options: ModelOptions) -> tuple[list[Client], tuple[str, ...]]:
    """The clients, and the keys that must appear nowhere. A key is taken out of this process's environment."""
    if not options.models:
        raise UsageError("model is missing: give --model openai/NAME or --model anthropic/NAME (may be repeated)")
    named = [model.partition("/") for model in dict.fromkeys(options.models)]
    wrong = [f"{provider}{slash}{model}" for provider, slash, model in named if provider not in PROVIDERS or not model]
    if wrong:
        raise UsageError(f"model={wrong[0]!r}: write PROVIDER/NAME with a provider of {', '.join(PROVIDERS)}")
    providers = dict.fromkeys(provider for provider, _, _ in named)
    if options.base_url is not None and len(providers) > 1:
        raise UsageError(
            f"base-url={options.base_url!r}: it is for the models of one provider; "
            "with two, set OPENAI_BASE_URL and ANTHROPIC_BASE_URL instead"
        )
    urls = {p: options.base_url or os.environ.get(f"{PROVIDERS[p]}_BASE_URL") or None for p in providers}
    keys = {p: os.environ.pop(f"{PROVIDERS[p]}_API_KEY", "") for p in providers}
    for provider, key in keys.items():
        if not key and urls[provider] is None and not options.replay:
            raise UsageError(f"{PROVIDERS[provider]}_API_KEY is not set: a model of {provider} needs a key")
    made: list[Client] = []
    for provider, _, model in named:
        kind = OpenAIClient if provider == "openai" else AnthropicClient
        made.append(kind(model, keys[provider] or "none", urls[provider], options.answer_tokens))
    return made, tuple(key for key in keys.values() if key)


def make_agent(ground: Ground, options: ModelOptions) -> tuple[list[Client], tuple[str, ...]]:
    """The agent, and the values of the variables it is given: they must appear nowhere."""
    if options.agent_command is None:
        raise UsageError("agent-command is missing: such as --agent-command 'claude -p {prompt}'")
    missing = [name for name in options.agent_env if name not in os.environ]
    if missing:
        raise UsageError(f"agent-env={missing[0]!r}: this variable is not set")
    unreadable = [path for path in options.agent_read if not path.exists()]
    if unreadable:
        raise UsageError(f"agent-read={str(unreadable[0])!r}: there is no such file or folder")
    given = {name: os.environ[name] for name in options.agent_env}
    readable = tuple(path.resolve() for path in options.agent_read)
    client = AgentClient(
        options.agent_command,
        f"candidate{SUFFIXES[ground.language]}",
        Confinement(ground.place.cache_dir, readable, given),
    )
    client.arguments()
    secrets = tuple(value for name, value in given.items() if is_secret(name))
    return [client], secrets


def is_secret(name: str) -> bool:
    """Whether a variable of this name holds what nobody may read; HOME and PATH do not."""
    return any(word in name.upper() for word in ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"))


def make_remarks(ground: Ground) -> Callable[[Candidate], str]:
    """What the compiler says of a candidate; nothing for languages that are not compiled here."""
    if ground.language != "cpp":
        return lambda candidate: ""
    target, cache_dir = ground.folder.target, ground.place.cache_dir
    return lambda candidate: vectorisation_remarks(target, candidate, ground.dtype, cache_dir)
