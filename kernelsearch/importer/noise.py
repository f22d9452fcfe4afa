"""Condition magnitudes of a module nobody analysed: its float64 run repeated with noise in every operation.

Monte Carlo arithmetic (Parker 1997; Denis, de Oliveira Castro and Petit 2016, https://arxiv.org/abs/1509.01347): where
each operation's operands and result carry random relative noise of size eps, the spread of the output in units of eps
is what roundings of unit size do to it. Two changes make it a magnitude for other orders of evaluation too. A linear
reduction (matmul, convolution, sum) gets noise in units of itself evaluated on absolute values, as a partial sum may
be that large. And fused operations (gelu, softmax, norms) are taken apart first, so that cancellation inside shows.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

# Far above float64's own 2^-53, and small enough that the response to it is linear.
NOISE = 2.0**-32
REPEATS = 8
SEED = 0x5EED

_LINEAR = """mm bmm addmm baddbmm mv addmv dot convolution sum mean cumsum avg_pool1d avg_pool2d avg_pool3d
    _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_bilinear2d upsample_nearest2d"""
# Moves, selections and sign changes: every honest kernel has these exactly.
_EXACT = """relu neg abs sign clone copy alias detach _to_copy cat stack index index_select gather embedding where
    masked_fill maximum minimum amax amin max min clamp clamp_min clamp_max hardtanh max_pool2d_with_indices
    max_pool3d_with_indices constant_pad_nd reflection_pad2d replication_pad2d flip roll sort topk tril triu repeat
    zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty fill zero _unsafe_view
    _reshape_alias slice_scatter select_scatter scatter pixel_shuffle unfold im2col"""
_TAKEN_APART = """gelu_backward silu_backward mish_backward hardswish_backward hardsigmoid_backward elu_backward
    softplus_backward log_sigmoid_backward native_layer_norm_backward native_group_norm_backward
    native_batch_norm_backward _softmax_backward_data _log_softmax_backward_data sigmoid_backward tanh_backward
    threshold_backward leaky_relu_backward hardtanh_backward _fused_rms_norm _fused_rms_norm_backward gelu silu
    mish hardswish hardsigmoid elu softplus log_sigmoid_forward native_layer_norm glu lerp
    native_group_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training _softmax
    _log_softmax logsumexp var var_mean std std_mean norm linalg_vector_norm mse_loss smooth_l1_loss huber_loss
    nll_loss_forward addcmul addcdiv softshrink leaky_relu"""
LINEAR, EXACT = frozenset(_LINEAR.split()), frozenset(_EXACT.split())


class _Noise(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Noise in the results and, for `is_thorough`, in the operands of every operation that rounds."""

    def __init__(self, generator: torch.Generator, *, is_thorough: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generator, self._is_thorough = generator, is_thorough

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        raw = func.overloadpacket.__name__
        name = raw.removesuffix("_")
        if func.is_view or name in EXACT:
            return func(*args, **kwargs)
        if self._is_thorough and func in decompositions():
            with self:
                return decompositions()[func](*args, **kwargs)
        is_in_place = raw.endswith("_") and not raw.startswith("_")
        if not self._is_thorough or is_in_place:
            return tree_map(lambda x: self._disturb(x, in_place=is_in_place), func(*args, **kwargs))
        if name in LINEAR:
            positive = func(*tree_map(_absolute, args), **tree_map(_absolute, kwargs))
            out = func(*args, **kwargs)
            return out.add(positive.abs().mul_(self._random(out)), alpha=NOISE) if out.is_floating_point() else out
        args, kwargs = tree_map(self._disturb, (args, kwargs))
        return tree_map(self._disturb, func(*args, **kwargs))

    def _disturb(self, x: Any, *, in_place: bool = False) -> Any:
        if not isinstance(x, Tensor) or x.dtype != torch.float64:
            return x
        factor = self._random(x).mul_(NOISE).add_(1.0)
        return x.mul_(factor) if in_place else x * factor

    def _random(self, x: Tensor) -> Tensor:
        """Uniform of unit variance, at a third of the cost of normal numbers."""
        return torch.empty(x.shape, dtype=torch.float64).uniform_(-(3**0.5), 3**0.5, generator=self._generator)


def spread(run: Callable[[], Sequence[Tensor]], exact: Sequence[Tensor], *, is_thorough: bool) -> list[Tensor]:
    """For each output, what noise does to it per unit of noise; `exact` are the outputs without any.

    Thorough: every rounding of any order of evaluation, at least |o| each. Else only the results of the module's own
    operations, as a program rounds them that stores each.
    """
    generator = torch.Generator().manual_seed(SEED)
    squares = [torch.zeros_like(o) for o in exact]
    for _ in range(REPEATS):
        with _Noise(generator, is_thorough=is_thorough):
            noisy = run()
        for total, o, n in zip(squares, exact, noisy, strict=True):
            total.add_(((n - o) / NOISE).nan_to_num_(0.0, 0.0, 0.0).square_())
    return [torch.maximum((s / REPEATS).sqrt_(), o.abs()) for s, o in zip(squares, exact, strict=True)]


class _Lengths(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the longest sum of any operation that passes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.longest = 1

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.longest = max(self.longest, _length(func.overloadpacket.__name__, args, out))
        return out


def longest_sum(run: Callable[[], Any]) -> int:
    """The number of terms in the longest sum of one operation; `run` may compute on fake tensors."""
    with _Lengths() as lengths:
        run()
    longest: int = lengths.longest
    return longest


def plain_attention() -> Any:
    """A context in which attention is made of matmuls and softmax, whose roundings the noise knows."""
    return sdpa_kernel(SDPBackend.MATH)


def _length(name: str, args: tuple[Any, ...], out: Any) -> int:
    inputs = [x for x in tree_flatten(args)[0] if isinstance(x, Tensor)]
    outputs = [x for x in tree_flatten(out)[0] if isinstance(x, Tensor)]
    if not inputs or not outputs or not outputs[0].is_floating_point():
        return 1
    if name in ("mm", "bmm", "mv", "dot"):
        return int(inputs[0].shape[-1])
    if name in ("addmm", "baddbmm", "addmv"):
        return int(inputs[1].shape[-1])
    if name == "convolution":
        is_transposed = bool(args[6])
        return int(prod(inputs[1].shape) // inputs[1].shape[int(is_transposed)])
    if name in ("cumsum", "_softmax", "_log_softmax"):
        return int(inputs[0].shape[args[1]]) if inputs[0].dim() else 1
    if "norm" in name:
        # Of a normalisation the smallest output holds the statistics, one for each sum.
        counts = [o.numel() for o in outputs if o.numel()]
        return inputs[0].numel() // min(counts) if counts else 1
    return max(1, inputs[0].numel() // max(1, max(o.numel() for o in outputs)))


def _absolute(x: Any) -> Any:
    return x.abs() if isinstance(x, Tensor) and x.is_floating_point() else x


@cache
def decompositions() -> dict[Any, Callable[..., Any]]:
    packets = [getattr(torch.ops.aten, name) for name in _TAKEN_APART.split() if hasattr(torch.ops.aten, name)]
    return get_decompositions(packets)
