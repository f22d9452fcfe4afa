"""From accepted kernel to training: store, operators, guards with counted fallback, race."""
