import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second spinning thread only waits for its neighbours."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
