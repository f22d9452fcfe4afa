import torch


def doubling_the_input_doubles_the_sum(run, dtype, rng):
    x = torch.from_numpy(rng.standard_normal((3, 17))).to(getattr(torch, dtype))
    sizes, parameters = {"N": 3, "D": 17}, {"scale": 1.0}
    once = run("row_sum", sizes, parameters, {"x": x})["total"]
    twice = run("row_sum", sizes, parameters, {"x": 2 * x})["total"]
    assert torch.equal(twice, 2 * once), "N=3 D=17: f(2x) != 2 f(x)"


PROPERTIES = (doubling_the_input_doubles_the_sum,)
