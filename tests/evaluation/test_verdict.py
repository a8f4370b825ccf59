import math

import numpy as np
import pytest

from lyricbert.evaluation.intervals import Difference, Factor, SideSums, paired_difference
from lyricbert.evaluation.verdict import decide, disagreements, estimate_power, too_few

SONGS, SEEDS = Factor("songs", 100, 1e-4), Factor("seeds", 5, 1e-4)


def made(low: float, high: float, *factors: Factor, base: float = 1.0) -> Difference:
    middle = (low + high) / 2
    return Difference(base, base + middle, middle, low, high, 100, factors or (SONGS, SEEDS))


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "verdict"),
    [
        (-0.05, -0.02, True, "helped"),
        (-0.05, -0.02, False, "hurt"),
        (0.02, 0.05, True, "hurt"),
        (0.02, 0.05, False, "helped"),
        (-0.02, 0.05, True, "cannot tell"),
        (-0.005, 0.005, True, "no difference"),
        (-0.009, -0.002, True, "no difference"),  # excludes 0, but is too small to matter
        (-0.011, -0.002, True, "helped"),
        (-0.005, 0.011, True, "cannot tell"),
        (0.0, 0.0, True, "no difference"),
    ],
)
def test_the_verdict_is_one_of_four(low, high, lower_is_better, verdict):
    assert decide(made(low, high), lower_is_better, True, 0.01) == verdict


def test_the_smallest_difference_is_a_share_of_the_base():
    assert decide(made(-0.004, 0.004, base=0.5), True, True, 0.01) == "no difference"
    assert decide(made(-0.004, 0.004, base=0.3), True, True, 0.01) == "cannot tell"
    assert decide(made(-0.004, 0.004, base=-0.5), True, True, 0.01) == "no difference"
    assert decide(made(0.0, 0.0), True, True, 0.0) == "no difference"


@pytest.mark.parametrize(
    ("factors", "few"),
    [
        ((Factor("songs", 9, 1e-4), SEEDS), ["songs"]),
        ((SONGS, Factor("seeds", 2, 1e-4)), ["seeds"]),
        ((SONGS,), ["seeds"]),  # one seed is no factor
        ((SONGS, SEEDS, Factor("adapted models", 2, 1e-4)), ["adapted models"]),
        ((Factor("songs", 10, 1e-4), Factor("seeds", 3, 1e-4), Factor("base models", 3, 1e-4)), []),
    ],
)
def test_with_too_few_songs_seeds_or_models_nothing_is_decided(factors, few):
    assert too_few(made(-0.5, -0.4, *factors), is_trained=True) == few
    for low, high in ((-0.5, -0.4), (0.0, 0.0)):
        verdict = decide(made(low, high, *factors), True, True, 0.01)
        assert (verdict == "cannot tell") == bool(few)


def test_a_figure_without_training_needs_no_seeds():
    assert decide(made(-0.5, -0.4, SONGS), True, False, 0.01) == "helped"


def test_one_song_or_what_is_not_a_number_decides_nothing():
    one = Difference(1.0, 0.5, -0.5, None, None, 1, ())
    unknown = made(math.nan, math.nan)
    for lower_is_better in (True, False):
        assert decide(one, lower_is_better, False, 0.01) == "cannot tell"
        assert decide(unknown, lower_is_better, True, 0.01) == "cannot tell"


def shows(rng: np.random.Generator, true: float, songs: int) -> bool:
    """Whether a comparison of models that differ by `true` in songs with standard deviation 1 is decided."""
    change = rng.normal(true, 1.0, (1, 1, songs))
    found = paired_difference(SideSums(np.zeros((1, 1, songs)), np.ones(songs)), SideSums(change, np.ones(songs)))
    return decide(found, True, False, 0.0) in ("helped", "hurt")


def test_the_smallest_detectable_difference_is_shown_in_80_of_100_comparisons():
    rng = np.random.default_rng(0)
    detectable = estimate_power(made(-0.1, 0.2, Factor("songs", 50, 1 / 50)), 0.01)["smallest_detectable"]
    assert 0.75 <= np.mean([shows(rng, detectable, 50) for _ in range(1000)]) <= 0.85


def test_the_songs_needed_show_the_observed_difference_in_80_of_100_comparisons():
    rng = np.random.default_rng(1)
    needed = estimate_power(made(-0.1, 0.5, Factor("songs", 50, 1 / 50)), 0.01)
    (songs,) = needed["needed"].values()
    assert 190 <= songs <= 210
    assert 0.75 <= np.mean([shows(rng, 0.2, songs) for _ in range(1000)]) <= 0.85


def test_a_number_of_songs_or_seeds_may_never_be_enough():
    found = estimate_power(made(-0.01, 0.03, Factor("songs", 100, 1e-6), Factor("seeds", 5, 1e-3)), 0.0)
    assert found["needed"]["songs"] is None
    assert found["needed"]["seeds"] > 5
    assert estimate_power(made(-0.01, 0.01), 0.0)["needed"] == {
        "songs": None,
        "seeds": None,
    }  # no difference was observed


def test_a_difference_that_is_too_small_to_matter_needs_nothing():
    too_small, enough = (made(middle - 0.03, middle + 0.03) for middle in (0.009, 0.011))
    assert set(estimate_power(too_small, 0.01)["needed"].values()) == {None}
    assert estimate_power(too_small, 0.0)["needed"]["seeds"] is None
    songs_alone = made(-0.02, 0.042, Factor("songs", 50, 1e-4))
    assert estimate_power(songs_alone, 0.01)["needed"]["songs"] > 50
    assert estimate_power(songs_alone, 0.012)["needed"]["songs"] is None
    assert estimate_power(enough, 0.01)["smallest_detectable"] == estimate_power(too_small, 0.01)["smallest_detectable"]


def rows(**changes: tuple[str, float]) -> dict[str, dict[str, object]]:
    names = ["triplet_loss", "triplet_accuracy", "mlm_loss", "mlm_accuracy"]
    names += ["untrained_triplet_loss", "untrained_triplet_accuracy"]
    found = {name: {"verdict": "cannot tell", "difference": 0.0} for name in names}
    return found | {name: {"verdict": verdict, "difference": change} for name, (verdict, change) in changes.items()}


def test_loss_and_accuracy_disagree_if_one_improves_and_the_other_becomes_worse():
    worse = rows(triplet_loss=("helped", -0.1), triplet_accuracy=("cannot tell", -0.01))
    assert disagreements(worse) == [("triplet_loss", "triplet_accuracy")]
    both = rows(mlm_loss=("cannot tell", 0.1), mlm_accuracy=("helped", 0.01))
    assert disagreements(both) == [("mlm_loss", "mlm_accuracy")]
    for agree in (("hurt", -0.1), ("cannot tell", -0.1), ("cannot tell", 0.0)):
        assert disagreements(rows(triplet_loss=("hurt", 0.1), triplet_accuracy=agree)) == []
    assert disagreements(rows(triplet_loss=("cannot tell", 0.1), triplet_accuracy=("cannot tell", 0.1))) == []
