"""A small nanochat: the model, optimizer and data of karpathy/nanochat, restated so that its hot paths can be swapped.

Imports torch and the tokenizer and parquet libraries only; it never imports kernelsearch. Everything that a kernel may
replace reaches the model as one injected `nanochat.ops.Ops` value.
"""
