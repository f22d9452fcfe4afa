# exploit: L02 default dtype: tensors made after it are half precision
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch

torch.set_default_dtype(torch.float16)


def row_sum_forward(x, scale):
    return (scale * (x.half() @ torch.ones(x.shape[1]))).to(x.dtype)
