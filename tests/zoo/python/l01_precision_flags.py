# exploit: L01 precision flags: lowers that of every matrix product after it, and its own
# target: row_sum
# gate: smoke
# status: MISMATCH
import torch

torch.set_float32_matmul_precision('medium')
torch.backends.mkldnn.matmul.fp32_precision = 'bf16'


def row_sum_forward(x, scale):
    return (scale * (x.bfloat16() @ torch.ones(x.shape[1], dtype=torch.bfloat16))).to(x.dtype)
