"""Source to artifact: prototypes, compiler, content-addressed cache."""
