import pytest
import torch

from nanochat.gpt import GPT, GPTConfig, build_model
from nanochat.muon import equilibrate_rows, even_out_variance, muon_step, orthogonalize, renormalize
from nanochat.ops import Ops
from nanochat.optim import LearningRates, MuonAdamW, make_optimizer
from nanochat.schedule import Schedule

SHAPES = [(3, 16, 16), (2, 48, 16), (2, 16, 48)]
MUON = {"lr": 0.1, "momentum": 0.9, "beta2": 0.9, "weight_decay": 0.0, "matmul_dtype": torch.float32}


def random_stack(shape: tuple[int, int, int], seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def muon_update(grads_KMN: torch.Tensor, **changes) -> torch.Tensor:
    """The update of a first step from zero weights, over -lr."""
    count, rows, columns = grads_KMN.shape
    params = torch.zeros_like(grads_KMN)
    moment = torch.zeros((count, rows, 1) if rows >= columns else (count, 1, columns))
    muon_step(params, grads_KMN.clone(), torch.zeros_like(params), moment, **{**MUON, **changes})
    return -params / 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_out_near_one(shape: tuple[int, int, int]):
    """Polar Express with five steps leaves them within about 30% of one; see its paper's figure of the last iterate."""
    values = torch.linalg.svdvals(orthogonalize(random_stack(shape)))
    assert values.min() > 0.65 and values.max() < 1.35


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_vectors_are_kept(shape: tuple[int, int, int]):
    x = random_stack(shape)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    core = u.mT @ orthogonalize(x) @ v.mT
    torch.testing.assert_close(core, torch.diag_embed(core.diagonal(dim1=1, dim2=2)), rtol=0, atol=1e-3)


def test_a_transposed_stack_gives_the_transposed_factor():
    x = random_stack((2, 48, 16))
    torch.testing.assert_close(orthogonalize(x.mT).mT, orthogonalize(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_update_ignores_the_gradients_scale(shape: tuple[int, int, int]):
    x = random_stack(shape)
    torch.testing.assert_close(muon_update(1000 * x), muon_update(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_negating_the_gradient_negates_the_update(shape: tuple[int, int, int]):
    assert muon_update(-random_stack(shape)).equal(-muon_update(random_stack(shape)))


@pytest.mark.parametrize("shape", SHAPES)
def test_matrices_of_a_stack_do_not_affect_each_other(shape: tuple[int, int, int]):
    x = random_stack(shape)
    torch.testing.assert_close(muon_update(x)[:1], muon_update(x[:1]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_update_has_the_norm_of_a_semi_orthogonal_matrix(shape: tuple[int, int, int]):
    norms = muon_update(random_stack(shape)).norm(dim=(1, 2))
    torch.testing.assert_close(norms, torch.full_like(norms, min(shape[1:]) ** 0.5), rtol=1e-4, atol=0)


def test_permuting_rows_permutes_the_update():
    x, order = random_stack((2, 16, 48)), torch.randperm(16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(muon_update(x[:, order]), muon_update(x)[:, order], rtol=0, atol=1e-4)


def test_rows_are_equilibrated_to_one_norm():
    norms = equilibrate_rows(random_stack((2, 8, 32)) * torch.logspace(-3, 3, 8)[:, None]).norm(dim=-1)
    torch.testing.assert_close(norms, norms.mean(-1, keepdim=True).expand_as(norms), rtol=1e-5, atol=0)


def test_variance_is_evened_out_without_changing_the_norm():
    x = renormalize(random_stack((1, 32, 8)) * torch.logspace(-2, 2, 32)[:, None])
    evened = even_out_variance(x, torch.zeros(1, 32, 1), 0.9)
    torch.testing.assert_close(evened.norm(), x.norm(), rtol=1e-5, atol=0)
    assert evened.norm(dim=-1).std() < 0.01 * x.norm(dim=-1).std()


def test_decay_acts_only_where_update_and_weight_agree():
    weights, grads = torch.ones(1, 4, 4), random_stack((1, 4, 4))
    decayed, plain = weights.clone(), weights.clone()
    for params, weight_decay in ((decayed, 0.5), (plain, 0.0)):
        state = torch.zeros(1, 4, 4), torch.zeros(1, 4, 1)
        muon_step(params, grads.clone(), *state, **{**MUON, "weight_decay": weight_decay})
    is_decayed = (plain - decayed).abs() > 1e-6
    assert is_decayed.equal(plain < weights) and is_decayed.any() and not is_decayed.all()


def test_groups_are_in_upstreams_order_with_width_scaled_rates(live_model: GPT):
    optimizer = make_optimizer(live_model, LearningRates())
    scale = (64 / 768) ** -0.5
    kinds = [group["kind"] for group in optimizer.param_groups]
    assert kinds == ["adamw"] * 6 + ["muon"] * 4
    rates = [0.008 * scale, 0.3 * scale, 0.15 * scale, 0.005, 0.5, 0.2, *[0.02] * 4]
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(rates)
    assert [tuple(group["params"][0].shape) for group in optimizer.param_groups[6:]] == [
        (2, 12),
        (64, 64),
        (64, 256),
        (256, 64),
    ]


def test_every_stack_of_matrices_takes_the_injected_step(small_config: GPTConfig):
    shapes = []

    def counted(params_KMN, *state, **rates):
        shapes.append(tuple(params_KMN.shape))
        muon_step(params_KMN, *state, **rates)

    cpu = torch.device("cpu")
    model = build_model(small_config, Ops(muon_step=counted), device=cpu, dtype=torch.float32, seed=1)
    optimizer = make_optimizer(model, LearningRates())
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert shapes == [(2, 2, 12), (16, 64, 64), (4, 64, 256), (4, 256, 64)]


def test_the_schedule_reaches_every_group(live_model: GPT):
    optimizer = make_optimizer(live_model, LearningRates())
    optimizer.set_schedule(Schedule(100, warmup_steps=10, weight_decay=0.2), 4)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * optimizer.param_groups[0]["initial_lr"])
    assert optimizer.param_groups[-1]["momentum"] == pytest.approx(0.85 + 0.12 * 4 / 400)
    assert optimizer.param_groups[-1]["weight_decay"] == pytest.approx(0.2, rel=0.01)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


def test_state_survives_saving(live_model: GPT):
    optimizer = make_optimizer(live_model, LearningRates())
    batch = torch.randint(300, (2, 65), generator=torch.Generator().manual_seed(1))
    live_model(batch[:, :-1], batch[:, 1:]).backward()
    optimizer.step()
    restored: MuonAdamW = make_optimizer(live_model, LearningRates())
    restored.load_state_dict(optimizer.state_dict())
    p = live_model.lm_head.weight
    assert restored.state[p]["step"] == 1 and restored.state[p]["exp_avg"].equal(optimizer.state[p]["exp_avg"])
