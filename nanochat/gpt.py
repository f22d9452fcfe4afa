"""The nanochat transformer.

Rotary positions, QK norm, sliding windows, relu^2 MLP, value embeddings on every other layer, a smear of the previous
embedding, learned mixing of residual stream and input, and a mid-layer back-out before the head. Matmul weights are
float32 masters cast to the activations' dtype on use; embedding tables are stored in the compute dtype.
The trap: both output projections start at zero, so step 0 has exactly zero gradients in most matrices.

Axes: B batch, T sequence, C width, H query heads, K key and value heads, D head dimension, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from nanochat.ops import SOFTCAP, Ops

ROTARY_BASE = 100_000.0
ROTARY_REACH = 10  # rotary tables cover this many sequence lengths
VOCAB_MULTIPLE = 64
SMEAR_CHANNELS = 24
VALUE_GATE_CHANNELS = 12

LookUp = tuple[Tensor, Tensor, Tensor | None]  # a layer's value table, the tokens, and their order where it is known
WINDOW_MULTIPLE = 128


@dataclass(frozen=True)
class GPTConfig:
    """Shape of the model; field names are those of upstream's checkpoints."""

    sequence_len: int = 2048
    vocab_size: int = 32768
    n_layer: int = 12
    n_head: int = 6
    n_kv_head: int = 6
    n_embd: int = 768
    window_pattern: str = "SSSL"

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def padded_vocab_size(self) -> int:
        return round_up(self.vocab_size, VOCAB_MULTIPLE)

    def has_value_embedding(self, layer: int) -> bool:
        """Every other layer, counted so that the last one always has it."""
        return layer % 2 == (self.n_layer - 1) % 2

    def windows(self) -> list[int]:
        """Left window of each layer, in tokens: a quarter context for S, the full context for L and the last layer."""
        if not self.window_pattern or set(self.window_pattern.upper()) - set("SL"):
            raise ValueError(f"window_pattern={self.window_pattern!r}: use only the letters S and L")
        length = {"L": self.sequence_len, "S": round_up(-(-self.sequence_len // 4), WINDOW_MULTIPLE)}
        pattern = self.window_pattern.upper()
        layers = [length[pattern[i % len(pattern)]] for i in range(self.n_layer)]
        return [*layers[:-1], self.sequence_len]


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class Linear(nn.Linear):
    """Matrix product without bias whose weight follows the dtype of its input."""

    def __init__(self, n_in: int, n_out: int, ops: Ops) -> None:
        super().__init__(n_in, n_out, bias=False)
        self.ops = ops

    def forward(self, x: Tensor) -> Tensor:
        return self.ops.linear(x, self.weight)


class CausalSelfAttention(nn.Module):
    def __init__(self, config: GPTConfig, ops: Ops, layer: int) -> None:
        super().__init__()
        self.ops = ops
        self.head_dim = config.head_dim
        self.window = config.windows()[layer]
        width, kv_width = config.n_embd, config.n_kv_head * config.head_dim
        self.c_q = Linear(width, config.n_head * config.head_dim, ops)
        self.c_k = Linear(width, kv_width, ops)
        self.c_v = Linear(width, kv_width, ops)
        self.c_proj = Linear(width, width, ops)
        gated = config.has_value_embedding(layer)
        self.ve_gate = Linear(VALUE_GATE_CHANNELS, config.n_kv_head, ops) if gated else None

    def forward(self, x_BTC: Tensor, look_up: LookUp | None, cos_sin: tuple[Tensor, Tensor]) -> Tensor:
        q_BTHD, k_BTKD, v_BTKD = (c(x_BTC).unflatten(-1, (-1, self.head_dim)) for c in (self.c_q, self.c_k, self.c_v))
        if look_up is not None and self.ve_gate is not None:
            gate_input_BTG = x_BTC[..., :VALUE_GATE_CHANNELS]
            v_BTKD = self.ops.value_mix(v_BTKD, gate_input_BTG, self.ve_gate.weight, *look_up)
        q_BTHD, k_BTKD = self.ops.rope_qknorm(q_BTHD, k_BTKD, *cos_sin)
        return self.c_proj(self.ops.attention(q_BTHD, k_BTKD, v_BTKD, self.window).flatten(2))


class MLP(nn.Module):
    def __init__(self, config: GPTConfig, ops: Ops) -> None:
        super().__init__()
        self.ops = ops
        self.c_fc = Linear(config.n_embd, 4 * config.n_embd, ops)
        self.c_proj = Linear(4 * config.n_embd, config.n_embd, ops)

    def forward(self, x_BTC: Tensor) -> Tensor:
        if self.ops.relu2_mlp is not None:
            return self.ops.relu2_mlp(x_BTC, self.c_fc.weight, self.c_proj.weight)
        return self.c_proj(self.ops.relu2(self.c_fc(x_BTC)))


class Block(nn.Module):
    def __init__(self, config: GPTConfig, ops: Ops, layer: int) -> None:
        super().__init__()
        self.ops = ops
        self.attn = CausalSelfAttention(config, ops, layer)
        self.mlp = MLP(config, ops)

    def forward(
        self, x_BTC: Tensor, x0_BTC: Tensor, lambdas: tuple[Tensor, Tensor], look_up: LookUp | None,
        cos_sin: tuple[Tensor, Tensor],
    ) -> Tensor:  # fmt: skip
        x_BTC, normed_BTC = self.ops.mix_norm(x_BTC, x0_BTC, *lambdas)
        x_BTC = x_BTC + self.attn(normed_BTC, look_up, cos_sin)
        return x_BTC + self.mlp(self.ops.rms_norm(x_BTC))


class GPT(nn.Module):
    """Language model. May be constructed on the meta device: `init_weights` fills every parameter and buffer."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: GPTConfig, ops: Ops | None = None, *, dtype: torch.dtype = torch.float32) -> None:
        """dtype is that of activations and embedding tables; matmul weights are float32 always."""
        super().__init__()
        self.config = config
        self.ops = ops or Ops.eager()
        self.compute_dtype = dtype
        width, vocab = config.n_embd, config.padded_vocab_size
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab, width),
                "h": nn.ModuleList([Block(config, self.ops, layer) for layer in range(config.n_layer)]),
            }
        )
        self.lm_head = Linear(width, vocab, self.ops)
        self.resid_lambdas = nn.Parameter(torch.empty(config.n_layer))
        self.x0_lambdas = nn.Parameter(torch.empty(config.n_layer))
        self.smear_gate = Linear(SMEAR_CHANNELS, 1, self.ops)
        self.smear_lambda = nn.Parameter(torch.empty(1))
        self.backout_lambda = nn.Parameter(torch.empty(1))
        layers = filter(config.has_value_embedding, range(config.n_layer))
        kv_width = config.n_kv_head * config.head_dim
        self.value_embeds = nn.ModuleDict({str(layer): nn.Embedding(vocab, kv_width) for layer in layers})
        table_shape = (ROTARY_REACH * config.sequence_len, 1, config.head_dim // 2)
        self.register_buffer("cos", torch.empty(1, *table_shape), persistent=False)
        self.register_buffer("sin", torch.empty(1, *table_shape), persistent=False)

    @property
    def blocks(self) -> list[Block]:
        return list(cast(nn.ModuleList, self.transformer["h"]))  # type: ignore[arg-type]

    @property
    def tables(self) -> list[nn.Embedding]:
        """The token embedding, then the value embeddings in layer order."""
        return [cast(nn.Embedding, table) for table in (self.transformer["wte"], *self.value_embeds.values())]

    @property
    def device(self) -> torch.device:
        return self.lm_head.weight.device

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Fill parameters and rotary tables; draws in upstream's order, so that one seed gives upstream's weights."""
        bound = (3 / self.config.n_embd) ** 0.5  # uniform with standard deviation 1/sqrt(C)
        nn.init.normal_(self.tables[0].weight, std=0.8, generator=generator)
        nn.init.normal_(self.lm_head.weight, std=0.001, generator=generator)
        for block in self.blocks:
            for linear in (block.attn.c_q, block.attn.c_k, block.attn.c_v):
                nn.init.uniform_(linear.weight, -bound, bound, generator=generator)
            nn.init.zeros_(block.attn.c_proj.weight)
            nn.init.uniform_(block.mlp.c_fc.weight, -0.4 * bound, 0.4 * bound, generator=generator)
            nn.init.zeros_(block.mlp.c_proj.weight)
        span = max(self.config.n_layer - 1, 1)
        for layer in range(self.config.n_layer):
            self.resid_lambdas[layer] = 1.15 - 0.10 * layer / span
            self.x0_lambdas[layer] = 0.20 - 0.15 * layer / span
        nn.init.zeros_(self.smear_lambda)
        nn.init.constant_(self.backout_lambda, 0.2)
        nn.init.uniform_(self.smear_gate.weight, 0.0, 0.02, generator=generator)
        for table in self.tables[1:]:
            nn.init.uniform_(table.weight, -bound, bound, generator=generator)
        for block in self.blocks:
            if block.attn.ve_gate is not None:
                nn.init.uniform_(block.attn.ve_gate.weight, 0.0, 0.02, generator=generator)
        self._fill_rotary_tables()
        if self.compute_dtype != torch.float16:  # float16 gradients cannot be unscaled, so its tables stay float32
            for table in self.tables:
                table.to(dtype=self.compute_dtype)

    def _fill_rotary_tables(self) -> None:
        half = torch.arange(0, self.config.head_dim, 2, dtype=torch.float32, device=self.device)
        frequency = 1.0 / ROTARY_BASE ** (half / self.config.head_dim)
        time = torch.arange(self.cos.size(1), dtype=torch.float32, device=self.device)
        angle_1T1d = torch.outer(time, frequency)[None, :, None, :]
        self.cos, self.sin = angle_1T1d.cos().to(self.compute_dtype), angle_1T1d.sin().to(self.compute_dtype)

    def forward(self, tokens_BT: Tensor, targets_BT: Tensor | None = None, reduction: str = "mean") -> Tensor:
        """The loss ("mean": scalar, "none": flat B*T), or softcapped float32 logits (B, T, V) without targets."""
        x_BTC = self._trunk(tokens_BT)
        if targets_BT is not None and self.ops.linear_softcap_cross_entropy is not None:
            head_VC, size = self.lm_head.weight, self.config.vocab_size
            return self.ops.linear_softcap_cross_entropy(x_BTC, head_VC, targets_BT, size, reduction)
        logits_BTV = self.lm_head(x_BTC)[..., : self.config.vocab_size]
        if targets_BT is None:
            return SOFTCAP * torch.tanh(logits_BTV.float() / SOFTCAP)
        return self.ops.softcap_cross_entropy(logits_BTV, targets_BT, reduction)

    def _trunk(self, tokens_BT: Tensor) -> Tensor:
        """Final normalised activations (B, T, C)."""
        length = tokens_BT.size(1)
        if length > self.cos.size(1):
            raise ValueError(f"T={length} exceeds the rotary tables ({self.cos.size(1)}): raise sequence_len")
        cos_sin = self.cos[:, :length], self.sin[:, :length]
        order_N = None
        if self.ops.token_order is not None:
            order_N = self.ops.token_order(tokens_BT, self.config.padded_vocab_size)
        x = x0 = halfway = self._embed(tokens_BT, order_N)
        for layer, block in enumerate(self.blocks):
            look_up = None
            if str(layer) in self.value_embeds:
                look_up = cast(Tensor, self.value_embeds[str(layer)].weight), tokens_BT, order_N
            x = block(x, x0, (self.resid_lambdas[layer], self.x0_lambdas[layer]), look_up, cos_sin)
            if layer == self.config.n_layer // 2:
                halfway = x
        return self.ops.backout_norm(x, halfway, self.backout_lambda)

    def _embed(self, tokens_BT: Tensor, order_N: Tensor | None) -> Tensor:
        """Normalised embeddings, each with a gated share of its un-smeared predecessor added."""
        rows_BTC = self.ops.embedding(self.tables[0].weight, tokens_BT, order_N).to(self.compute_dtype)
        return self.ops.smear_embed(rows_BTC, self.smear_gate.weight, self.smear_lambda)

    def flops_per_token(self) -> int:
        """Floating-point operations of forward and backward per trained token, by upstream's convention.

        Six per matmul weight (embeddings are look-ups and do not count) and 12*H*D per visible key (PaLM appendix B,
        https://arxiv.org/abs/2204.02311); softmax and elementwise work are left out.
        """
        matmul_weights = sum(m.weight.numel() for m in self.modules() if isinstance(m, Linear))
        keys = sum(min(window, self.config.sequence_len) for window in self.config.windows())
        return 6 * matmul_weights + 12 * self.config.n_embd * keys

    def num_scaling_params(self) -> dict[str, int]:
        """Parameter counts by role; `transformer_matrices` is everything under transformer.h, gates included."""
        counts = {
            "wte": count(self.transformer["wte"]),
            "value_embeds": count(self.value_embeds),
            "lm_head": count(self.lm_head),
            "transformer_matrices": count(self.transformer["h"]),
        }
        total = count(self)
        return {**counts, "scalars": total - sum(counts.values()), "total": total}

    @torch.no_grad()
    def generate(self, tokens: list[int], n_new: int, *, temperature: float, seed: int) -> Iterator[int]:
        """Yield n_new sampled tokens one by one, recomputing the whole prefix each time; temperature 0 is greedy."""
        generator = torch.Generator(self.device).manual_seed(seed)
        tokens_1T = torch.tensor([tokens], device=self.device)
        for _ in range(n_new):
            logits_V = self(tokens_1T)[0, -1]
            if temperature > 0:
                token = torch.multinomial((logits_V / temperature).softmax(-1), 1, generator=generator)
            else:
                token = logits_V.argmax(-1, keepdim=True)
            tokens_1T = torch.cat([tokens_1T, token[None]], dim=1)
            yield int(token)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def build_model(config: GPTConfig, ops: Ops, *, device: torch.device, dtype: torch.dtype, seed: int) -> GPT:
    """A model with fresh weights on `device`; built on the meta device first, so that memory is allocated once."""
    with torch.device("meta"):
        model = GPT(config, ops, dtype=dtype)
    model.to_empty(device=device)
    model.init_weights(torch.Generator(device).manual_seed(seed))
    return model
