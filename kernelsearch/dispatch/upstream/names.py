"""Where upstream's symbols are; without torch, because it is read before upstream has set what torch reads."""

PACKAGE = "nanochat"
COMMIT = "92d63d4"  # of karpathy/nanochat: the sources that the patch table was written against
START = ("common", "compute_init")  # connects the ranks of a distributed run
WATCHED = ("common", "flash_attention", "optim", "gpt")
