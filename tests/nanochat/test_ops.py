"""Tolerances: 2**-23 is float32's unit of rounding; a factor of a few dozen covers the operations in a chain."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from nanochat.ops import (
    Ops,
    adamw_step,
    attention,
    backout_norm,
    embedding,
    mix_norm,
    relu2,
    rms_norm,
    rope_qknorm,
    smear_embed,
    softcap_cross_entropy,
    token_order,
    value_mix,
    window_mask,
)

UNIT = 2.0**-23
ADAMW = {"lr": 0.01, "beta1": 0.8, "beta2": 0.96, "eps": 1e-10, "weight_decay": 0.1}


def textbook_attention(q_BTHD: torch.Tensor, k_BTKD: torch.Tensor, v_BTKD: torch.Tensor, window: int) -> torch.Tensor:
    """Attention in float64 by explicit masking."""
    groups = q_BTHD.size(2) // k_BTKD.size(2)
    q, k, v = (x.double().transpose(1, 2) for x in (q_BTHD, k_BTKD, v_BTKD))
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    scores = q @ k.mT / q.size(-1) ** 0.5
    distance = torch.arange(q.size(2))[:, None] - torch.arange(q.size(2))
    hidden = (distance < 0) | (distance > window)
    return (scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v).transpose(1, 2)


def random_qkv(heads: int, kv_heads: int, length: int = 40) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return tuple(torch.randn(2, length, n, 16) for n in (heads, kv_heads, kv_heads))


@pytest.mark.parametrize("window", [0, 1, 7, 39, 40, 1000])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_attention_equals_the_textbook_formula(window: int, kv_heads: int):
    qkv = random_qkv(4, kv_heads)
    torch.testing.assert_close(attention(*qkv, window).double(), textbook_attention(*qkv, window), rtol=0, atol=1e-5)


def test_a_query_sees_window_plus_one_keys():
    mask = window_mask(10, 3, torch.device("cpu"))
    assert mask.sum(1).tolist() == [1, 2, 3, 4, 4, 4, 4, 4, 4, 4]
    assert mask[7].nonzero().flatten().tolist() == [4, 5, 6, 7]


def test_tokens_outside_the_window_have_no_gradient():
    q, k, v = random_qkv(2, 2)
    v.requires_grad_()
    attention(q, k, v, 5)[:, 20].sum().backward()
    assert v.grad[:, 15:21].abs().amin() > 0
    assert v.grad[:, :15].abs().amax() == v.grad[:, 21:].abs().amax() == 0


def test_rms_norm_keeps_its_epsilon_for_zero_rows_and_bfloat16():
    x = torch.full((1, 4), 2.0**-12, dtype=torch.bfloat16)
    expected = 2.0**-12 / (2.0**-24 + 2.0**-23) ** 0.5
    assert rms_norm(torch.zeros(2, 8)).equal(torch.zeros(2, 8))
    assert rms_norm(x)[0, 0].item() == pytest.approx(expected, rel=2.0**-8)


def test_mix_norm_returns_the_mix_and_its_norm():
    torch.manual_seed(0)
    x, x0 = torch.randn(2, 3, 64).unbind(0)
    mixed, normed = mix_norm(x, x0, torch.tensor(1.1), torch.tensor(0.2))
    expected = 1.1 * x.double() + 0.2 * x0.double()
    torch.testing.assert_close(mixed.double(), expected, rtol=0, atol=16 * UNIT)
    torch.testing.assert_close(normed.double(), F.rms_norm(expected, (64,), eps=UNIT), rtol=0, atol=64 * UNIT)


def test_mixing_bfloat16_with_float32_lambdas_stays_bfloat16():
    x = torch.ones(2, 8, dtype=torch.bfloat16)
    assert {y.dtype for y in mix_norm(x, x, torch.tensor(1.1), torch.tensor(0.2))} == {torch.bfloat16}


@pytest.mark.parametrize("scale", [0.1, 10.0, 1000.0])
def test_softcap_cross_entropy_equals_the_formula(scale: float):
    torch.manual_seed(0)
    logits, targets = scale * torch.randn(6, 50), torch.randint(50, (6,))
    capped = 15 * torch.tanh(logits.double() / 15)
    expected = capped.logsumexp(-1) - capped[torch.arange(6), targets]
    torch.testing.assert_close(
        softcap_cross_entropy(logits, targets, "none").double(), expected, rtol=0, atol=30 * 32 * UNIT
    )


def test_ignored_targets_count_neither_in_the_mean_nor_in_the_sum():
    torch.manual_seed(0)
    logits, targets = torch.randn(1, 4, 9), torch.tensor([[3, -1, 5, -1]])
    each = softcap_cross_entropy(logits, targets, "none")
    assert each.shape == (4,) and each[1] == each[3] == 0
    assert softcap_cross_entropy(logits, targets).item() == pytest.approx((each.sum() / 2).item(), rel=1e-6)


def adamw_in_float64(p, g, m, v, step, *, lr, beta1, beta2, eps, weight_decay):
    p, g, m, v = (x.double() for x in (p, g, m, v))
    m, v = m + (1 - beta1) * (g - m), v + (1 - beta2) * (g**2 - v)
    update = m / (1 - beta1**step) / ((v / (1 - beta2**step)).sqrt() + eps)
    return p * (1 - lr * weight_decay) - lr * update, m, v


@pytest.mark.parametrize("step", [1, 2, 100, 10_000])
def test_adamw_equals_the_float64_formula(step: int):
    torch.manual_seed(step)
    p, g, m = torch.randn(3, 1000).unbind(0)
    v = torch.rand(1000)
    expected = adamw_in_float64(p, g, m, v, step, **ADAMW)
    adamw_step(p, g, m, v, step=step, **ADAMW)
    torch.testing.assert_close(torch.stack([p, m, v]).double(), torch.stack(expected), rtol=32 * UNIT, atol=32 * UNIT)


def test_the_first_adamw_step_is_the_sign_of_the_gradient():
    p, g = torch.zeros(5), torch.tensor([-3.0, 1e-6, 0.0, 2.0, 1e3])
    adamw_step(p, g, torch.zeros(5), torch.zeros(5), step=1, **ADAMW)
    torch.testing.assert_close(p, -0.01 * g.sign(), rtol=1e-3, atol=0)


def test_adamw_in_bfloat16_rounds_the_float32_result_once():
    torch.manual_seed(0)
    narrow = [x.bfloat16() for x in (*torch.randn(3, 500).unbind(0), torch.rand(500))]
    wide = [x.float() for x in narrow]
    adamw_step(*narrow, step=3, **ADAMW)
    adamw_step(*wide, step=3, **ADAMW)
    assert all(a.equal(b.bfloat16()) for a, b in zip(narrow, wide, strict=True))


def test_rotated_queries_and_keys_have_the_length_of_sharpened_heads():
    torch.manual_seed(0)
    angle = torch.randn(1, 5, 1, 8)
    q, k = rope_qknorm(torch.randn(2, 5, 4, 16), torch.randn(2, 5, 2, 16), angle.cos(), angle.sin())
    assert q.shape == (2, 5, 4, 16) and k.shape == (2, 5, 2, 16)
    lengths = torch.cat([q, k], dim=2).square().mean(-1).sqrt()
    torch.testing.assert_close(lengths, torch.full_like(lengths, 1.2), rtol=1e-5, atol=0)


def test_relu2_squares_what_is_positive():
    assert relu2(torch.tensor([-2.0, 0.0, 0.5, 3.0])).tolist() == [0.0, 0.0, 0.25, 9.0]


def test_the_token_order_sorts_by_token_and_then_by_position():
    assert token_order(torch.tensor([[3, 1], [3, 0], [1, 1]]), 4).tolist() == [3, 1, 4, 5, 0, 2]


def test_a_row_of_the_table_learns_from_each_of_its_tokens():
    table = torch.zeros(4, 2, requires_grad=True)
    embedding(table, torch.tensor([[3, 1, 3]]), None).mul(torch.tensor([[1.0], [2.0], [4.0]])).sum().backward()
    assert table.grad.tolist() == [[0, 0], [2, 2], [0, 0], [5, 5]]


def test_value_mix_adds_the_gated_embedding_of_the_token_to_each_head():
    torch.manual_seed(0)
    v, gate_input, weight, table = (torch.randn(shape) for shape in ((2, 3, 2, 4), (2, 3, 12), (2, 12), (7, 8)))
    tokens = torch.randint(7, (2, 3))
    gate = 3 / (1 + torch.exp(-gate_input.double() @ weight.double().T))
    expected = v.double() + gate[..., None] * table.double()[tokens].view(2, 3, 2, 4)
    torch.testing.assert_close(
        value_mix(v, gate_input, weight, table, tokens, None).double(), expected, rtol=0, atol=64 * UNIT
    )


def test_smear_embed_norms_and_then_adds_the_gated_predecessor():
    torch.manual_seed(0)
    rows, weight = 5 * torch.randn(2, 6, 32), torch.randn(1, 24)
    x = F.rms_norm(rows.double(), (32,), eps=UNIT)
    gate = 0.7 / (1 + torch.exp(-(x[:, 1:, :24] * weight[0].double()).sum(-1, keepdim=True)))
    expected = torch.cat([x[:, :1], x[:, 1:] + gate * x[:, :-1]], dim=1)
    got = smear_embed(rows, weight, torch.tensor([0.7]))
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=128 * UNIT)


def test_backout_norm_norms_what_is_left():
    torch.manual_seed(0)
    x, x_back = torch.randn(2, 3, 5, 64).unbind(0)
    expected = F.rms_norm(x.double() - 0.25 * x_back.double(), (64,), eps=UNIT)
    got = backout_norm(x, x_back, torch.tensor([0.25]))
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=64 * UNIT)


def test_only_ops_that_span_others_are_left_out_by_default():
    absent = {field.name for field in dataclasses.fields(Ops) if getattr(Ops(), field.name) is None}
    assert absent == {"relu2_mlp", "token_order", "linear_softcap_cross_entropy"}


def test_ops_are_immutable():
    with pytest.raises(AttributeError):
        Ops.eager().rms_norm = rms_norm  # type: ignore[misc]
