"""The patch table: which of upstream's symbols become which entries, and which sources they were written against.

With names.py the only place that names upstream's symbols. One is "module:dotted.name" within the package.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from kernelsearch.dispatch.upstream import forwards, stock

# Of the sources at names.COMMIT.
SOURCES: Mapping[str, str] = {
    "gpt:norm": "5d8333bd93b2d6c7d39559778e3dcd8f1d97007d4a315401e565e4aa072c8747",
    "gpt:Linear": "da33f8fb82dec7201de9f35cb01d6dd4d18091c44398790dd2c3cee8b8cdc80d",
    "gpt:apply_rotary_emb": "c5d230c8d26451d882a71b0f4d5bf9b23018775aa42290250e40a3bcb34b9065",
    "gpt:CausalSelfAttention.forward": "a282aa01eccab4306bd30337d04c8aed81e96b3038b3240d3a0f2206da9c64bb",
    "gpt:MLP.forward": "18a35d3967523b6e24a05b5a0910434e62b0bce65f21a107bd5112528ca28e4c",
    "gpt:Block.forward": "dec56cb50253ecc0326be285b7361aafdb16607ed4ccb89316d5daf954d60fd4",
    "gpt:GPT.forward": "511c426eafdee846037b7cb4371fa65b45f914eb4050738571a79312fa25fb1b",
    "flash_attention:flash_attn_func": "70d4ea52dcd7f51e1fcbff10dbacd668ce3a661e107d6f8861b3899b97e84bb5",
    "flash_attention:_sdpa_attention": "b8bfd1fa77521e4437be820feb7e15eae8b8cda9a920db50e3f1ecdf4f85dc08",
    "optim:adamw_step_fused": "23d29c6c68fd45347ba7c1d7a61ad59ff13581bf8b087814bd7bbb3679ebb43c",
    "optim:muon_step_fused": "50b29ad5af2f400b8b011f4868366cfc455bd72e502235ec2a491ae2269e29cf",
    "optim:polar_express_coeffs": "6bbb6fe1bec2cace441bc26551f8559b34a73d0584a7c1c79bd074606fe0cdee",
}

Make = Callable[[forwards.Ops, Callable[..., Any], ModuleType, forwards.Count], Callable[..., Any]]


@dataclass(frozen=True)
class Patch:
    """One replacement. `place` is the attribute to set, `entries` those of which one kernel makes it worth while.

    `reads` are the symbols whose meaning the replacement takes for granted, what it replaces first.
    """

    module: str
    place: str
    entries: tuple[str, ...]
    make: Make
    reads: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.module}:{self.place}"


STOCK: Mapping[str, Callable[[ModuleType], stock.Stock]] = {
    "flash_attention": stock.attention_stock,
    "optim": stock.optimizer_stock,
    "gpt": stock.model_stock,
}

# In the order of installation: what others call comes first.
PATCHES = (
    Patch(
        "flash_attention",
        "flash_attn.flash_attn_func",
        ("attention",),
        forwards.make_attention,
        ("flash_attention:flash_attn_func", "flash_attention:_sdpa_attention"),
    ),
    Patch(
        "optim",
        "adamw_step_fused",
        ("adamw_step",),
        forwards.make_adamw_step,
        ("optim:adamw_step_fused",),
    ),
    Patch(
        "optim",
        "muon_step_fused",
        ("muon_step",),
        forwards.make_muon_step,
        ("optim:muon_step_fused", "optim:polar_express_coeffs"),
    ),
    Patch("gpt", "norm", ("rms_norm",), forwards.make_norm, ("gpt:norm",)),
    Patch("gpt", "Linear.forward", ("linear",), forwards.make_linear_forward, ("gpt:Linear",)),
    Patch(
        "gpt",
        "MLP.forward",
        ("relu2", "relu2_mlp"),
        forwards.make_mlp_forward,
        ("gpt:MLP.forward", "gpt:Linear"),
    ),
    Patch(
        "gpt",
        "CausalSelfAttention.forward",
        ("rope_qknorm", "value_mix"),
        forwards.make_attention_forward,
        ("gpt:CausalSelfAttention.forward", "gpt:apply_rotary_emb", "gpt:norm", "gpt:Linear"),
    ),
    Patch(
        "gpt",
        "GPT.forward",
        (
            "mix_norm",
            "softcap_cross_entropy",
            "linear_softcap_cross_entropy",
            "embedding",
            "value_mix",
            "smear_embed",
            "backout_norm",
        ),
        forwards.make_model_forward,
        ("gpt:GPT.forward", "gpt:Block.forward", "gpt:norm", "gpt:Linear"),
    ),
)
