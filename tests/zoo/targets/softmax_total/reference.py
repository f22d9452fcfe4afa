def softmax_total(inputs, parameters):
    return {"total": inputs["x"].softmax(-1).sum(-1)}


def softmax_total_magnitudes(inputs, parameters, outputs, output_gradients):
    return {"total": outputs["total"].abs()}


def softmax_total_terms(sizes, parameters):
    return {"total": sizes["C"]}
