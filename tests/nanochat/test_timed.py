import time

import pytest
import torch

from nanochat.ops import relu2
from nanochat.timed import Account, timed, watch

SLOW_S = 0.1


class Slow(torch.autograd.Function):
    """The identity, slow in both directions."""

    @staticmethod
    def forward(ctx, x):
        time.sleep(SLOW_S)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        time.sleep(SLOW_S)
        return gradient


@pytest.mark.parametrize(("has_spans", "is_called"), [(False, False), (True, True)])
def test_spans_are_timed_only_where_they_are_asked_for(has_spans, is_called):
    assert ("relu2_mlp" in timed({"spans": has_spans})[0]) is is_called


def test_a_timed_op_gives_the_same_numbers():
    ops, _ = timed(None)
    x = torch.randn(7, 5, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    relu2(x).pow(2).sum().backward()
    ops["relu2"](y).pow(2).sum().backward()
    assert torch.equal(x.grad, y.grad)


def test_each_direction_is_counted_for_the_op_that_took_it():
    slow, quick = Account(), Account()
    x = torch.randn(3, 4, requires_grad=True)
    y = watch(torch.sin, quick, "relu2")(watch(Slow.apply, slow, "relu2")(x))
    Slow.apply(y).sum().backward()
    assert min(slow.forward_s, slow.backward_s) > SLOW_S > max(quick.forward_s, quick.backward_s) > 0
    assert quick.calls == slow.calls == 1
