"""Two versions of a kernel against each other, by the judge's clock, and which commit made one slower."""
