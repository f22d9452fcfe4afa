"""Options of `optimize` for proposers that ask a model, an agent or a ledger."""

from pathlib import Path
from typing import Annotated

import typer

MODELS, AGENTS, REPLAYS = "Language models", "Coding agents", "Replays"

Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="openai/NAME or anthropic/NAME; may be repeated.", rich_help_panel=MODELS),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(help="Another server of the models' protocol: vLLM, Ollama, llama.cpp, ...", rich_help_panel=MODELS),
]
AnswerTokens = Annotated[
    int, typer.Option(min=64, help="The most tokens of one answer, thinking included.", rich_help_panel=MODELS)
]
MaximumCalls = Annotated[
    int | None, typer.Option(min=1, help="Ask at most so often, recorded calls included.", rich_help_panel=MODELS)
]
MaximumCost = Annotated[
    float | None, typer.Option(min=0.0, help="Spend at most so many USD, checked before.", rich_help_panel=MODELS)
]
PricesFile = Annotated[Path | None, typer.Option(help="Prices of your own, in TOML.", rich_help_panel=MODELS)]
RecordedOnly = Annotated[
    bool,
    typer.Option("--replay", help="Take recorded answers only; an error where there is none.", rich_help_panel=MODELS),
]
CallTimeout = Annotated[
    str, typer.Option(help="The longest that one call or one run of an agent may take.", rich_help_panel=MODELS)
]
AgentCommand = Annotated[
    str | None,
    typer.Option(help="A coding agent, such as 'claude -p {prompt}'; works in a folder.", rich_help_panel=AGENTS),
]
AgentRead = Annotated[
    list[Path] | None, typer.Option(help="What else the agent may read; may be repeated.", rich_help_panel=AGENTS)
]
AgentEnv = Annotated[
    list[str] | None, typer.Option(help="A variable the agent is given; may be repeated.", rich_help_panel=AGENTS)
]
ReplayFrom = Annotated[
    Path | None,
    typer.Option("--from", help="State folder or ledger to replay (default: this one's).", rich_help_panel=REPLAYS),
]
ReplayStudy = Annotated[
    str | None, typer.Option(help="Replay one study: the first digits of its digest.", rich_help_panel=REPLAYS)
]
