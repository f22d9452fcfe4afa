"""Start-up of the stand-in: a compute dtype, and the call that connects ranks."""

import os

import torch
import torch.distributed as dist

COMPUTE_DTYPE = getattr(torch, os.environ.get("NANOCHAT_DTYPE", "float32"))


def compute_init():
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("gloo")
