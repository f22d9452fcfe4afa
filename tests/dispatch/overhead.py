"""CPU microseconds that dispatch adds to a call, on a kernel with almost nothing to do.

python -m tests.dispatch.overhead
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from kernelsearch.dispatch.bind import bind
from kernelsearch.dispatch.store import Store
from tests.dispatch.sample import FOLDER, make_accepted

CALLS, ROUNDS = 1000, 15


def call_us(function: Callable[[], object]) -> float:
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(CALLS):
            function()
        rounds.append((time.thread_time() - started) / CALLS * 1e6)
    return statistics.median(rounds)


def main() -> None:
    torch.set_num_threads(1)
    state = Path(tempfile.mkdtemp())
    store = Store(state, state)
    store.add(make_accepted())
    binding = bind([FOLDER], store, device="cpu", dtype="float32", admit=lambda a: False, cache_dir=state)
    blend, nudge = binding.ops["blend"], binding.ops["nudge"]
    x, y, index = torch.ones(1, 4), torch.ones(1, 4), torch.zeros(1, dtype=torch.int64)
    x_grad, y_grad, ones = x.clone().requires_grad_(), y.clone().requires_grad_(), torch.ones(1, 4)
    p, g, m = torch.ones(4), torch.ones(4), torch.ones(4)

    def both(outputs: tuple[torch.Tensor, ...]) -> None:
        torch.autograd.backward(outputs, (ones,) * len(outputs), inputs=(x_grad, y_grad))

    print(f"blend forward            {call_us(lambda: blend(x, y, index, 2.0)):6.1f}")
    print(f"blend forward+backward   {call_us(lambda: both(blend(x_grad, y_grad, index, 2.0))):6.1f}")
    print(f"nudge in place           {call_us(lambda: nudge(p, g, m, step=1, lr=0.0)):6.1f}")
    print(f"x * y                    {call_us(lambda: x * y):6.1f}")
    print(f"x * y forward+backward   {call_us(lambda: both((x_grad * y_grad,))):6.1f}")
    print(f"F.rms_norm               {call_us(lambda: F.rms_norm(x, (4,))):6.1f}")
    print(f"F.rms_norm fwd+bwd       {call_us(lambda: both((F.rms_norm(x_grad * y_grad, (4,)),))):6.1f}")


if __name__ == "__main__":
    main()
