"""The judge judged: wrong kernels, honest kernels and exploits with known answers, and how often it errs on them."""
