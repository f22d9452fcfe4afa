def softmax_total(x):
    return x.softmax(-1).sum(-1)
