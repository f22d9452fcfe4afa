"""The stopwatch around a call sees its forward and its backward, and nothing else."""

import torch

from kernelsearch.dispatch.timed import Stopwatch, timed, watch_calls


class Clock:
    """Advances only where the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(torch.autograd.Function):
    """Doubles; forward takes 1 second of the clock, backward `cost`."""

    @staticmethod
    def forward(ctx, x, clock, cost):
        clock.now += 1
        ctx.clock, ctx.cost = clock, cost
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        ctx.clock.now += ctx.cost
        return 2 * gradient, None, None


def test_backwards_are_told_apart_and_values_stay():
    clock = Clock()
    inner, outer = Stopwatch(clock), Stopwatch(clock)
    x = torch.ones(3, requires_grad=True)
    y = watch_calls(lambda t: Slow.apply(Slow.apply(t, clock, 10), clock, 20), inner)(x)
    z = watch_calls(lambda t: Slow.apply(t, clock, 300), outer)(Slow.apply(y, clock, 4000))
    z.sum().backward()
    assert torch.equal(x.grad, torch.full((3,), 16.0))
    assert (inner.forward_s, inner.backward_s, outer.forward_s, outer.backward_s) == (2, 30, 1, 300)


def test_a_call_with_several_inputs_and_outputs_is_one_call():
    clock = Clock()
    watch = Stopwatch(clock)
    x, w = (torch.ones(2, requires_grad=True) for _ in range(2))
    one, other = watch_calls(lambda a, b, n: (Slow.apply(a * b, clock, 5), Slow.apply(b, clock, 7)), watch)(x, w, 1)
    (one + other).sum().backward()
    assert (watch.forward_s, watch.backward_s, watch.calls) == (2, 12, 1)


def test_a_step_in_place_has_a_forward_only():
    clock = Clock()
    watch = Stopwatch(clock)
    with torch.no_grad():
        watch_calls(lambda p: Slow.apply(p, clock, 5), watch)(torch.ones(2, requires_grad=True))
    assert (watch.forward_s, watch.backward_s) == (1, 0)


def test_the_baselines_of_the_named_targets_are_handed_to_the_trainer():
    ops, report = timed({"targets": ["relu2"], "library": None})
    ops["relu2"](torch.ones(4, requires_grad=True)).sum().backward()
    assert report()["calls"] == {"relu2": 1}
    assert report()["seconds"]["relu2"] > 0
