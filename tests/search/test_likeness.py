"""The covariance in matrix products, against its definition written out."""

from math import exp

import numpy as np
import pytest

from kernelsearch.search.graft import all_templates
from kernelsearch.search.likeness import ALONE, SEED, TOGETHER, Likeness
from kernelsearch.search.space import Space
from kernelsearch.spec import read_candidate
from tests.search.test_graft import OTHER, TARGET, make_source

MORE = "// tune: WAY in up down\n// tune: ROWS in 1 2 4\n"
WORDED = read_candidate("toy", "cpp", MORE + OTHER.source.replace("= TWICE", "= WAY_up * ROWS * TWICE"), "worded")
TEMPLATES = all_templates([make_source("one"), WORDED], TARGET)
SPACE = Space([template.candidate for template in TEMPLATES])
POINTS = [SPACE.at(index) for index in range(0, len(SPACE), 7)]


def defined(one, other, reach: float) -> float:
    bound = [
        {
            gene: (position, template.candidate.tunables[own])
            for (own, gene), position in zip(template.names.items(), positions, strict=True)
        }
        for template, positions in ((TEMPLATES[index], positions) for index, positions in (one, other))
    ]
    parts = [TEMPLATES[index].parts for index, _ in (one, other)]
    total = 0.0
    for seed, its in zip(*parts, strict=True):
        if seed == its:
            alike = []
            for gene, (position, value) in bound[0].items():
                if gene[0] == seed:
                    steps = abs(position - bound[1][gene][0])
                    alike.append(exp(-(steps if isinstance(value, int) else 2.0 * (steps > 0)) / reach))
            total += SEED + ALONE * float(np.mean(alike)) + TOGETHER * float(np.prod(alike))
    return total / len(parts[0])


@pytest.mark.parametrize("reach", [0.7, 3.0])
def test_the_matrix_products_are_the_definition(reach):
    likeness = Likeness(TEMPLATES)
    encoded = likeness.encode(POINTS)
    expected = [[defined(one, other, reach) for other in POINTS] for one in POINTS]
    found = likeness.covariance(encoded, encoded, reach)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(np.diag(found), likeness.variance)
    assert len({round(value, 9) for value in found.flat}) > 5
