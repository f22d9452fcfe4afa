"""A user's own functions: made into targets, and called with the kernels that were accepted for them."""
