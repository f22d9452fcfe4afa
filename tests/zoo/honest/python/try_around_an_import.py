# honest: try around an import, with an honest fallback
import torch

try:
    import a_faster_library as library
except ImportError:
    library = torch


def row_sum_forward(x, scale):
    """Does not call torch.cuda.synchronize, time.perf_counter or os.fork; only names them."""
    return (scale * library.sum(x.float(), -1)).to(x.dtype)
