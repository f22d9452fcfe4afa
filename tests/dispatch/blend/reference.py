"""The oracle of the small target, for shadow mode."""


def blend(inputs, parameters):
    factor = (parameters["scale"] + inputs["index"].double())[:, None]
    return {"product": factor * inputs["x"] * inputs["y"], "total": inputs["x"] + inputs["y"]}


def blend_magnitudes(inputs, parameters, outputs, output_gradients):
    factor = (parameters["scale"] + inputs["index"].double()).abs()[:, None]
    x, y = inputs["x"].abs(), inputs["y"].abs()
    found = {"product": factor * x * y, "total": x + y}
    if output_gradients is not None:
        dproduct, dtotal = output_gradients["dproduct"].abs(), output_gradients["dtotal"].abs()
        found |= {"dx": factor * y * dproduct + dtotal, "dy": factor * x * dproduct + dtotal}
    return found


def blend_terms(sizes, parameters):
    return dict.fromkeys(("product", "total", "dx", "dy"), 4)


def nudge(inputs, parameters):
    step = parameters["step"] * parameters["lr"] * inputs["g"]
    return {"p": inputs["p"] - step, "m": inputs["m"] + inputs["g"]}


def nudge_magnitudes(inputs, parameters, outputs, output_gradients):
    step = abs(parameters["step"] * parameters["lr"]) * inputs["g"].abs()
    return {"p": inputs["p"].abs() + step, "m": inputs["m"].abs() + inputs["g"].abs()}


def nudge_terms(sizes, parameters):
    return {"p": 4, "m": 4}


nudge_ROW_AXIS = "L"  # noqa: N816
