import pytest

from lyricbert.evaluation.student import t_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    [  # published tables
        (0.975, 1, 12.7062),
        (0.975, 2, 4.3027),
        (0.975, 9, 2.2622),
        (0.975, 120, 1.9799),
        (0.8, 10, 0.8791),
        (0.8, 1_000_000, 0.8416),
        (0.5, 7, 0.0),
    ],
)
def test_quantiles_are_those_of_published_tables(probability, degrees, expected):
    assert t_quantile(probability, degrees) == pytest.approx(expected, abs=1e-4)
