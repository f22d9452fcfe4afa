"""Language models and coding agents as proposers: prompt, clients, calls on record, answers (docs/agents.md)."""

from kernelsearch.search.llm.agent import AgentClient, Confinement
from kernelsearch.search.llm.bandit import Bandit
from kernelsearch.search.llm.calls import Calls, LimitReached, Limits, Spending
from kernelsearch.search.llm.clients import AnthropicClient, OpenAIClient
from kernelsearch.search.llm.facts import Facts, remembered
from kernelsearch.search.llm.message import Answer, CallFailed, Client, Prompt, Usage
from kernelsearch.search.llm.prices import Price, Prices, read_prices
from kernelsearch.search.llm.prompt import Sizes
from kernelsearch.search.llm.proposer import Asking, ModelProposer

__all__ = [
    "AgentClient",
    "Answer",
    "AnthropicClient",
    "Asking",
    "Bandit",
    "CallFailed",
    "Calls",
    "Client",
    "Confinement",
    "Facts",
    "LimitReached",
    "Limits",
    "ModelProposer",
    "OpenAIClient",
    "Price",
    "Prices",
    "Prompt",
    "Sizes",
    "Spending",
    "Usage",
    "read_prices",
    "remembered",
]
