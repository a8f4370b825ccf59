import numpy as np
import pytest

from lyricbert.evaluation.intervals import Difference, SideSums, paired_difference, sum_by_song


def songs_only(base: np.ndarray, adapted: np.ndarray, weight: np.ndarray) -> Difference:
    return paired_difference(SideSums(base[None, None], weight), SideSums(adapted[None, None], weight))


def made_sides(
    source: np.random.Generator, models: int, seeds: int, songs: int, *, seed_error: float, model_error: float
) -> tuple[SideSums, SideSums]:
    """Sides whose true means are both 1: a base, and `models` adapted models. Songs have 1 to 9 terms."""
    weight = source.integers(1, 10, songs).astype(float)
    base = 1 + source.normal(0, 0.1, (1, seeds, songs))
    change = source.normal(0, 0.1, (models, seeds, songs)) + source.normal(0, seed_error, (1, seeds, 1))
    change += source.normal(0, model_error, (models, 1, 1)) + source.normal(0, 0.1, songs)
    return SideSums(base * weight, weight), SideSums((base + change) * weight, weight)


def share_covered(models: int, seeds: int, **errors: float) -> float:
    source = np.random.default_rng(5)
    found = [paired_difference(*made_sides(source, models, seeds, 40, **errors)) for _ in range(400)]
    return float(np.mean([row.low <= 0 <= row.high for row in found]))


def test_equal_models_have_an_interval_of_width_zero():
    value = np.random.default_rng(0).random((1, 3, 50))
    side = SideSums(value, np.ones(50))
    found = paired_difference(side, side)
    assert (found.difference, found.low, found.high) == (0, 0, 0)


def test_with_songs_alone_the_interval_is_that_of_students_t():
    source = np.random.default_rng(3)
    change = source.normal(0.2, 1.0, size=10)
    found = songs_only(np.zeros(10), change, np.ones(10))
    half = 2.26216 * change.std(ddof=1) / np.sqrt(10)  # t with 9 degrees of freedom
    assert (found.low, found.high) == pytest.approx((change.mean() - half, change.mean() + half), abs=1e-4)
    assert [factor.name for factor in found.factors] == ["songs"]


def test_songs_are_weighted_by_their_number_of_terms():
    found = songs_only(np.array([2.0, 30.0]), np.array([1.0, 30.0]), np.array([1.0, 10.0]))
    assert found.base == pytest.approx(32 / 11)
    assert found.difference == pytest.approx(-1 / 11)


def test_one_song_has_no_interval():
    found = songs_only(np.array([2.0]), np.array([1.0]), np.array([4.0]))
    assert (found.difference, found.low, found.high) == (-0.25, None, None)


def test_the_variance_of_seeds_that_differ_by_constants_is_that_of_their_means():
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    base = SideSums(np.zeros((1, 3, 4)), weight)
    adapted = SideSums(np.array([0.1, 0.2, 0.6])[None, :, None] * weight, weight)
    songs, seeds = paired_difference(base, adapted).factors
    assert songs.variance == pytest.approx(0)
    assert seeds.variance == pytest.approx(np.var([0.1, 0.2, 0.6], ddof=1) / 3)
    assert seeds.margin() == pytest.approx(4.30265 * np.sqrt(seeds.variance), rel=1e-4)


def test_half_of_the_interaction_with_songs_is_not_counted_twice():
    source = np.random.default_rng(2)
    found = []
    for _ in range(200):
        adapted = source.normal(0, 1, (1, 4, 30))  # nothing but interaction
        songs, seeds = paired_difference(
            SideSums(np.zeros((1, 4, 30)), np.ones(30)), SideSums(adapted, np.ones(30))
        ).factors
        found.append((songs.variance, seeds.variance))
    assert np.mean([variance for variance, _ in found]) == pytest.approx(1 / 120, rel=0.1)
    assert np.mean([variance for _, variance in found]) == pytest.approx(0.5 / 120, rel=0.25)  # some are cut off at 0


def test_models_of_both_sides_are_factors():
    weight = np.ones(12)
    base = SideSums(np.array([0.3, 0.5])[:, None, None] * np.ones((2, 3, 12)), weight)
    adapted = SideSums(np.array([0.1, 0.2, 0.3])[:, None, None] * np.ones((3, 3, 12)), weight)
    found = paired_difference(base, adapted)
    variances = {factor.name: factor.variance for factor in found.factors}
    assert variances == pytest.approx(
        {"songs": 0, "seeds": 0, "base models": 0.01, "adapted models": 0.01 / 3}, abs=1e-12
    )
    assert found.difference == pytest.approx(-0.2)


@pytest.mark.parametrize("seeds", [3, 10])
def test_the_interval_contains_the_true_difference_about_95_times_in_100(seeds):
    assert 0.92 <= share_covered(1, seeds, seed_error=0.0, model_error=0.0) <= 0.99


@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_covers_differences_between_seeds(seeds):
    assert 0.92 <= share_covered(1, seeds, seed_error=0.1, model_error=0.0) <= 0.99


def test_the_interval_covers_differences_between_adaptations():
    assert 0.92 <= share_covered(3, 3, seed_error=0.02, model_error=0.1) <= 0.99


def test_sum_by_song():
    assert sum_by_song(np.array([4, 9, 4]), np.array([1.0, 2.0, 3.0])).tolist() == [4.0, 2.0]
