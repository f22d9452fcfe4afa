"""One step of Muon on a stack of matrices of one shape, in place. K matrices, M rows, N columns, S = max(M, N).

    m' = m + (1 - momentum) (g - m),    u = g + momentum (m' - g)
    rows of u scaled to the root mean square of their norms, x = u / (1.01 |u|_F + 1e-6)
    five times, with published a, b, c:   A = x x^T,  x <- a x + (b A + c A^2) x     (x^T x on the right where M > N)
    x <- x sqrt(min(M, N)) / |x|_F
    s' = s + (1 - beta2) (mean of x^2 over a row (M >= N) or column - s),   z = x / sqrt(s'),  u = z |x|_F / |z|_F
    p' = p - lr u - lr weight_decay p [u p >= 0]

Row norms are kept above 1e-6, s' above 1e-10 under the root, |x|_F above 1e-6 and |z|_F above 1e-10 where they divide.
Equilibrated rows: https://arxiv.org/abs/2603.28254; Polar Express: https://arxiv.org/abs/2505.16932; the restored norm:
https://arxiv.org/abs/2602.21545; NorMuon: https://arxiv.org/abs/2510.05491. The parameters are float32 numbers; what
follows from them is meant exactly. All tensors are float32 whatever the dtype, because training keeps its matrices so;
products are float32 in both dtypes: a call that asks for bfloat16 products gets more than it asked for.
"""

from kernelsearch.spec import Axis, Entry, Parameter, Target, TensorSpec
from kernelsearch.spec.target import Parameters, Sizes

ITERATIONS = 5


def forward_flops(sizes: Sizes, parameters: Parameters) -> float:
    """The least known: symmetric products by half, and from aspect 2 on products of small matrices in their place."""
    short, long = sorted((sizes["M"], sizes["N"]))
    plain = ITERATIONS * (short**2 * long + short**3 + 2 * short**2 * long)
    gram = 6 * short**2 * long + 14 * short**3
    return float(sizes["K"] * min(plain, gram))


TARGET = Target(
    name="muon_step",
    summary="one Muon step on a stack of matrices, in place",
    entries=(
        Entry(
            name="muon_step",
            axes=(Axis("K"), Axis("M"), Axis("N"), Axis("S")),
            inputs=(
                TensorSpec("params", ("K", "M", "N"), "float32"),
                TensorSpec("grads", ("K", "M", "N"), "float32"),
                TensorSpec("momentum_buffer", ("K", "M", "N"), "float32"),
                TensorSpec("second_moment", ("K", "S"), "float32"),
            ),
            outputs=(),
            parameters=(
                Parameter("lr", "float"),
                Parameter("momentum", "float"),
                Parameter("beta2", "float"),
                Parameter("weight_decay", "float"),
            ),
            updates=("params", "momentum_buffer", "second_moment"),
            forward_flops=forward_flops,
        ),
    ),
    constraints=("S == (M if M >= N else N)",),
    accumulator={"float32": 2.0**-24, "bfloat16": 2.0**-24},
    sources=(
        "https://arxiv.org/abs/2505.16932",
        "https://arxiv.org/abs/2510.05491",
        "https://arxiv.org/abs/2602.21545",
        "https://arxiv.org/abs/2603.28254",
    ),
)
