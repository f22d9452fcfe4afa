import pytest
import torch

from nanochat.gpt import GPT, GPTConfig, Linear, build_model
from nanochat.ops import Ops, linear, linear_softcap_cross_entropy, relu2_mlp, rotate, token_order

CPU = torch.device("cpu")


def tokens(config: GPTConfig, length: int = 256) -> torch.Tensor:
    return torch.randint(config.vocab_size, (2, length), generator=torch.Generator().manual_seed(5))


def gradients(model: GPT, length: int = 256) -> dict[str, torch.Tensor]:
    batch = tokens(model.config, length + 1)
    model(batch[:, :-1], batch[:, 1:]).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def test_initial_weights_have_the_intended_spread():
    model = build_model(GPTConfig(64, 1024, 2, 4, 4, 256), Ops.eager(), device=CPU, dtype=torch.float32, seed=1)
    state = model.state_dict()
    block = "transformer.h.1."
    spread = {name: state[name].std().item() for name in ("transformer.wte.weight", "lm_head.weight")}
    assert spread == pytest.approx({"transformer.wte.weight": 0.8, "lm_head.weight": 0.001}, rel=0.02)
    assert state[block + "attn.c_q.weight"].std().item() == pytest.approx(256**-0.5, rel=0.02)
    assert state[block + "mlp.c_fc.weight"].std().item() == pytest.approx(0.4 * 256**-0.5, rel=0.02)
    assert state["value_embeds.1.weight"].std().item() == pytest.approx(256**-0.5, rel=0.02)
    assert not state[block + "attn.c_proj.weight"].any() and not state[block + "mlp.c_proj.weight"].any()


def test_initial_scalars_follow_depth(fresh_model: GPT):
    assert fresh_model.resid_lambdas.tolist() == pytest.approx([1.15, 1.15 - 0.1 / 3, 1.15 - 0.2 / 3, 1.05])
    assert fresh_model.x0_lambdas.tolist() == pytest.approx([0.2, 0.15, 0.1, 0.05])
    assert fresh_model.smear_lambda.item() == 0 and fresh_model.backout_lambda.item() == pytest.approx(0.2)


def test_at_step_zero_only_what_follows_a_zero_projection_learns(fresh_model: GPT):
    dead = {name for name, gradient in gradients(fresh_model).items() if not gradient.any()}
    silent = ("c_q", "c_k", "c_v", "c_fc", "ve_gate", "smear_gate", "value_embeds")
    assert dead == {name for name, _ in fresh_model.named_parameters() if any(part in name for part in silent)}


def test_once_moved_every_parameter_learns(live_model: GPT):
    assert all(gradient.any() for gradient in gradients(live_model).values())


def test_one_seed_gives_the_weights_of_the_global_generator(small_config: GPTConfig):
    ours = build_model(small_config, Ops.eager(), device=CPU, dtype=torch.float32, seed=42)
    torch.manual_seed(42)
    other = GPT(small_config)
    torch.manual_seed(42)
    other.init_weights()
    assert all(a.equal(b) for a, b in zip(ours.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(
    ("length", "pattern", "windows"),
    [
        (2048, "SSSL", [512, 512, 512, 2048]),
        (512, "SSSL", [128, 128, 128, 512]),
        (100, "S", [128, 128, 128, 100]),
        (1024, "L", [1024] * 4),
        (1024, "ls", [1024, 256, 1024, 1024]),
    ],
)
def test_windows_follow_the_pattern_and_the_last_layer_sees_all(length: int, pattern: str, windows: list[int]):
    assert GPTConfig(length, n_layer=4, window_pattern=pattern).windows() == windows


def test_a_wrong_window_pattern_is_named():
    with pytest.raises(ValueError, match="window_pattern='SXL'"):
        GPTConfig(window_pattern="SXL").windows()


def test_rotation_keeps_lengths_and_depends_on_distance_only(fresh_model: GPT):
    q, k = torch.randn(2, 1, 1, 1, 32, generator=torch.Generator().manual_seed(0)).expand(2, 1, 40, 1, 32)
    rotated_q, rotated_k = (rotate(x, fresh_model.cos[:, :40], fresh_model.sin[:, :40])[0, :, 0] for x in (q, k))
    torch.testing.assert_close(rotated_q.norm(dim=-1), q[0, :, 0].norm(dim=-1), rtol=1e-5, atol=0)
    products = rotated_q @ rotated_k.mT
    torch.testing.assert_close(products[10:, 10:], products[:-10, :-10], rtol=0, atol=1e-4)


def test_rotation_is_by_minus_theta(fresh_model: GPT):
    x = torch.zeros(1, 2, 1, 32)
    x[..., 0] = 1
    turned = rotate(x, fresh_model.cos[:, :2], fresh_model.sin[:, :2])[0, 1, 0]
    angle = torch.tensor(1.0)
    assert turned[0].item() == pytest.approx(angle.cos().item())
    assert turned[16].item() == pytest.approx(-angle.sin().item())


def test_value_embeddings_sit_on_every_other_layer_and_the_last(small_config: GPTConfig):
    deep = GPTConfig(n_layer=5)
    assert [small_config.has_value_embedding(i) for i in range(4)] == [False, True, False, True]
    assert [deep.has_value_embedding(i) for i in range(5)] == [True, False, True, False, True]


def test_the_smear_adds_the_previous_unsmeared_embedding(fresh_model: GPT):
    batch = tokens(fresh_model.config, 6)
    plain = fresh_model._embed(batch, None)
    with torch.no_grad():
        fresh_model.smear_lambda.fill_(0.7)
    gate = 0.7 * torch.sigmoid(plain[:, 1:, :24] @ fresh_model.smear_gate.weight.T)
    smeared = fresh_model._embed(batch, None)
    assert smeared[:, 0].equal(plain[:, 0])
    torch.testing.assert_close(smeared[:, 1:], plain[:, 1:] + gate * plain[:, :-1], rtol=1e-6, atol=1e-6)


def test_the_future_does_not_leak(live_model: GPT):
    batch = tokens(live_model.config, 64)
    changed = batch.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % live_model.config.vocab_size
    torch.testing.assert_close(live_model(batch)[:, :40], live_model(changed)[:, :40], rtol=0, atol=1e-5)


def test_padding_of_the_vocabulary_is_neither_seen_nor_learnt(live_model: GPT):
    assert live_model.lm_head.weight.size(0) == 320
    assert live_model(tokens(live_model.config, 8)).shape == (2, 8, 300)
    assert not gradients(live_model)["lm_head.weight"][300:].any()


def test_logits_stay_within_the_softcap(live_model: GPT):
    with torch.no_grad():
        live_model.lm_head.weight.mul_(1000)
    assert live_model(tokens(live_model.config, 16)).abs().max() <= 15


def test_state_names_are_those_of_upstream(small_config: GPTConfig):
    block = ["attn.c_q", "attn.c_k", "attn.c_v", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]
    names = {f"transformer.h.{i}.{name}.weight" for i in range(4) for name in block}
    names |= {f"transformer.h.{i}.attn.ve_gate.weight" for i in (1, 3)} | {
        "value_embeds.1.weight",
        "value_embeds.3.weight",
    }
    names |= {"transformer.wte.weight", "lm_head.weight", "smear_gate.weight"}
    names |= {"resid_lambdas", "x0_lambdas", "smear_lambda", "backout_lambda"}
    assert set(GPT(small_config).state_dict()) == names


@pytest.mark.parametrize(
    ("config", "total", "flops"),
    [
        (GPTConfig(512, 8192, 4, 4, 4, 256, "L"), 11_534_466, 37_749_456),
        (GPTConfig(), 286_261_730, 759_696_048),
        (GPTConfig(n_layer=20, n_head=10, n_kv_head=10, n_embd=1280), 896_535_866, 2_886_000_000),
    ],
)
def test_size_and_arithmetic_agree_with_upstreams_figures(config: GPTConfig, total: int, flops: int):
    with torch.device("meta"):
        model = GPT(config)
    assert model.num_scaling_params()["total"] == pytest.approx(total, rel=1e-4)
    assert model.flops_per_token() == pytest.approx(flops, rel=1e-3)


def test_in_bfloat16_tables_are_narrow_and_matrices_wide(small_config: GPTConfig):
    model = build_model(small_config, Ops.eager(), device=CPU, dtype=torch.bfloat16, seed=1)
    assert {table.weight.dtype for table in model.tables} == {model.cos.dtype} == {torch.bfloat16}
    assert {m.weight.dtype for m in model.modules() if isinstance(m, Linear)} == {torch.float32}
    batch = tokens(small_config)
    assert model(batch, batch).dtype == torch.float32


def test_every_layer_mixes_once_through_the_injected_op(small_config: GPTConfig):
    calls = []
    eager = Ops.eager()

    def counted(*arguments: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(arguments[2].item())
        return eager.mix_norm(*arguments)

    model = build_model(small_config, Ops(mix_norm=counted), device=CPU, dtype=torch.float32, seed=1)
    model(tokens(small_config))
    assert calls == model.resid_lambdas.tolist()


def test_every_product_but_the_gates_goes_through_the_injected_op(small_config: GPTConfig):
    shapes = []

    def counted(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(weight.shape))
        return linear(x, weight)

    model = build_model(small_config, Ops(linear=counted), device=CPU, dtype=torch.float32, seed=1)
    model(tokens(small_config))
    gates = (model.smear_gate, *(block.attn.ve_gate for block in model.blocks))
    layers = [m for m in model.modules() if isinstance(m, Linear) and all(m is not gate for gate in gates)]
    assert sorted(shapes) == sorted(tuple(layer.weight.shape) for layer in layers)


FUSED = {
    "relu2_mlp": relu2_mlp,
    "token_order": token_order,
    "linear_softcap_cross_entropy": linear_softcap_cross_entropy,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", FUSED)
def test_an_op_that_spans_others_changes_no_bit_of_the_gradients(small_config: GPTConfig, name: str, dtype):
    def model(ops: Ops) -> GPT:
        made = build_model(small_config, ops, device=CPU, dtype=dtype, seed=1)
        for p in made.parameters():
            p.data.add_(0.01)
        return made

    plain, fused = gradients(model(Ops())), gradients(model(Ops(**{name: FUSED[name]})))
    assert all(plain[parameter].equal(fused[parameter]) for parameter in plain)


@pytest.mark.parametrize("name", FUSED)
def test_an_op_that_spans_others_is_called(small_config: GPTConfig, name: str):
    calls = []

    def counted(*arguments):
        calls.append(name)
        return FUSED[name](*arguments)

    model = build_model(small_config, Ops(**{name: counted}), device=CPU, dtype=torch.float32, seed=1)
    model(tokens(small_config), tokens(small_config))
    assert len(calls) == {"relu2_mlp": small_config.n_layer}.get(name, 1)


def test_one_order_of_the_tokens_serves_every_table(small_config: GPTConfig):
    seen = []

    def embed(table, batch, order):
        seen.append(order)
        return Ops().embedding(table, batch, order)

    def mix(v, gate_input, gate_weight, table, batch, order):
        seen.append(order)
        return Ops().value_mix(v, gate_input, gate_weight, table, batch, order)

    ops = Ops(token_order=token_order, embedding=embed, value_mix=mix)
    batch = tokens(small_config)
    build_model(small_config, ops, device=CPU, dtype=torch.float32, seed=1)(batch)
    assert len(seen) == 3 and all(order is seen[0] for order in seen)
    assert seen[0].equal(batch.flatten().sort(stable=True).indices)


def test_one_token_alone_gives_what_it_gives_before_others(live_model: GPT):
    batch = tokens(live_model.config, 5)
    with torch.no_grad():
        torch.testing.assert_close(live_model(batch[:, :1]), live_model(batch)[:, :1], rtol=0, atol=1e-5)


def test_grouped_queries_run(small_config: GPTConfig):
    config = GPTConfig(64, 300, 2, 4, 2, 64, "SL")
    model = build_model(config, Ops.eager(), device=CPU, dtype=torch.float32, seed=1)
    assert model(tokens(config, 64)).isfinite().all()


def test_generation_is_greedy_at_temperature_zero_and_repeatable(live_model: GPT):
    greedy = list(live_model.generate([1, 2], 5, temperature=0.0, seed=1))
    assert greedy[0] == int(live_model(torch.tensor([[1, 2]]))[0, -1].argmax())
    sampled = [list(live_model.generate([1], 8, temperature=1.0, seed=7)) for _ in range(2)]
    assert sampled[0] == sampled[1]


def test_a_sequence_beyond_the_rotary_tables_is_refused(small_config: GPTConfig):
    model = build_model(GPTConfig(8, 300, 2, 2, 2, 64), Ops.eager(), device=CPU, dtype=torch.float32, seed=1)
    with pytest.raises(ValueError, match="T=81"):
        model(tokens(small_config, 81))
