row_sum_ROW_AXIS = "N"  # noqa: N816


def row_sum(inputs, parameters):
    return {"total": parameters["scale"] * inputs["x"].sum(-1)}


def row_sum_magnitudes(inputs, parameters, outputs, output_gradients):
    found = {"total": abs(parameters["scale"]) * inputs["x"].abs().sum(-1)}
    if output_gradients is not None:
        slope = abs(parameters["scale"]) * output_gradients["dtotal"].abs()
        found["dx"] = slope[:, None].expand_as(inputs["x"]).clone()
    return found


def row_sum_terms(sizes, parameters):
    return {"total": sizes["D"], "dx": 1}
