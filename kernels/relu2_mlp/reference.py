"""Float64 oracle, its magnitudes and accumulation lengths. Axes: N rows, C width, F features.

h = x fc^T (x the input),  p = max(h, 0),  a = p^2,  projected = a proj^T
da = dout proj,  dh = 2 p da,  dx = dh fc,  dfc = dh^T x,  dproj = dout^T a
"""

from torch import Tensor

# At least as large as the error of an h relative to its magnitude: nearer to zero its sign is anybody's.
NEAR = 2.0**-16
RESULTS = ("projected", "dinput", "dfc", "dproj")

relu2_mlp_REPEATING = {"constant": RESULTS}  # noqa: N816
relu2_mlp_LEANING_ROWS = RESULTS  # noqa: N816

Tensors = dict[str, Tensor]


def relu2_mlp(inputs: Tensors, parameters: dict) -> Tensors:
    return {"projected": (inputs["input"] @ inputs["fc"].T).relu().square() @ inputs["proj"].T}


def relu2_mlp_magnitudes(
    inputs: Tensors, parameters: dict, outputs: Tensors, output_gradients: Tensors | None
) -> Tensors:
    """An error e of h moves a by 2 p e + e^2 and the slope by 2 e, unless h is surely negative.

    The square counts where terms of h cancel: an h of exactly 0 is next to nothing in a kernel.
    """
    x, fc, proj = inputs["input"], inputs["fc"], inputs["proj"]
    h_NF, c_h_NF = x @ fc.T, x.abs() @ fc.abs().T
    p_NF = h_NF.relu()
    is_near_NF = h_NF > -NEAR * c_h_NF
    c_a_NF = p_NF * (p_NF + 2 * c_h_NF) + NEAR * c_h_NF.square() * is_near_NF
    found = {"projected": c_a_NF @ proj.abs().T}
    if output_gradients is None:
        return found
    dout_NC = output_gradients["dprojected"]
    da_NF, c_da_NF = dout_NC @ proj, dout_NC.abs() @ proj.abs()
    c_dh_NF = 2 * p_NF * c_da_NF + 2 * c_h_NF * is_near_NF * (da_NF.abs() + NEAR * c_da_NF)
    return found | {
        "dinput": c_dh_NF @ fc.abs(),
        "dfc": c_dh_NF.T @ x.abs(),
        "dproj": dout_NC.abs().T @ c_a_NF,
    }


def relu2_mlp_stored_magnitudes(
    inputs: Tensors, parameters: dict, outputs: Tensors, output_gradients: Tensors | None
) -> Tensors:
    """Roundings of h, a, da and dh, in squares; where they are all alike they scale the result itself.

    A rounding of h moves a twice as far, relatively, and the slope as far; so a carries 1 + 4 squares, dh 1 + 1 + 1.
    """
    x, fc, proj = inputs["input"], inputs["fc"], inputs["proj"]
    p_NF = (x @ fc.T).relu()
    a2_NF = 5 * p_NF.square().square()
    found = {"projected": _together(a2_NF @ proj.square().T, outputs["projected"])}
    if output_gradients is None:
        return found
    dout_NC = output_gradients["dprojected"]
    dh_NF = 2 * p_NF * (dout_NC @ proj)
    dh2_NF = 3 * dh_NF.square()
    return found | {
        "dinput": _together(dh2_NF @ fc.square(), dh_NF @ fc),
        "dfc": _together(dh2_NF.T @ x.square(), dh_NF.T @ x),
        "dproj": _together(dout_NC.square().T @ a2_NF, dout_NC.T @ p_NF.square()),
    }


def _together(squares: Tensor, value: Tensor) -> Tensor:
    return squares.sqrt() + 2 * value.abs()


def relu2_mlp_terms(sizes: dict[str, int], parameters: dict) -> dict[str, int]:
    """Each result is a sum over products of sums."""
    N, C, F = sizes["N"], sizes["C"], sizes["F"]
    return {"projected": C + F + 4, "dinput": 2 * C + F + 4, "dfc": 2 * C + N + 4, "dproj": C + N + 4}
