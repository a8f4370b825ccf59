import numpy as np
import pytest

from lyricbert.evaluation import bootstrap
from lyricbert.evaluation.bootstrap import PairedDifference, SongSums, paired_differences, sum_by_song


def paired_difference(base: np.ndarray, adapted: np.ndarray, weight: np.ndarray) -> PairedDifference:
    return paired_differences({"loss": SongSums(base, weight)}, {"loss": SongSums(adapted, weight)})["loss"]


def test_equal_models_give_cannot_tell():
    values = np.random.default_rng(0).random(50)
    paired = paired_difference(values, values, np.ones(50))
    assert (paired.difference, paired.low, paired.high) == (0, 0, 0)
    assert paired.verdict(lower_is_better=True) == "cannot tell"


def test_nothing_is_decided_by_what_is_not_a_number():
    unknown = PairedDifference(1.0, float("nan"), float("nan"), float("nan"), float("nan"), 50)
    assert unknown.verdict(lower_is_better=True) == unknown.verdict(lower_is_better=False) == "cannot tell"


def test_the_verdict_depends_on_whether_lower_is_better():
    base = np.random.default_rng(0).random(200)
    lower = paired_difference(base, base - 0.1, np.ones(200))
    assert lower.verdict(lower_is_better=True) == "helped"
    assert lower.verdict(lower_is_better=False) == "hurt"
    assert lower.difference == pytest.approx(-0.1)


def test_the_interval_has_the_width_of_a_normal_interval():
    source = np.random.default_rng(3)
    change = source.normal(0.2, 1.0, size=400)
    paired = paired_difference(np.zeros(400), change, np.ones(400))
    half = 1.96 * change.std() / np.sqrt(400)
    assert paired.low == pytest.approx(change.mean() - half, abs=0.01)
    assert paired.high == pytest.approx(change.mean() + half, abs=0.01)


def test_the_interval_contains_the_true_difference_about_95_times_in_100():
    source = np.random.default_rng(7)
    covered = 0
    for _ in range(100):
        weight = source.integers(1, 10, size=60).astype(float)
        change = source.normal(0.3, 1.0, size=60) * weight
        paired = paired_difference(np.zeros(60), change, weight)
        covered += paired.low <= 0.3 <= paired.high
    assert 86 <= covered <= 100


def test_fewer_than_ten_songs_give_cannot_tell():
    few, enough = (paired_difference(np.ones(songs), np.zeros(songs), np.ones(songs)) for songs in (9, 10))
    assert few.high < 0
    assert few.verdict(lower_is_better=True) == "cannot tell"
    assert enough.verdict(lower_is_better=True) == "helped"


def test_songs_are_weighted_by_their_number_of_terms():
    paired = paired_difference(np.array([2.0, 30.0]), np.array([1.0, 30.0]), np.array([1.0, 10.0]))
    assert paired.base == pytest.approx(32 / 11)
    assert paired.difference == pytest.approx(-1 / 11)


def test_sum_by_song():
    assert sum_by_song(np.array([4, 9, 4]), np.array([1.0, 2.0, 3.0])).tolist() == [4.0, 2.0]


def test_intervals_are_those_of_a_plain_bootstrap(monkeypatch):
    """Figures over the same songs have their samples in common, and samples are drawn in blocks."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 50)
    monkeypatch.setattr(bootstrap, "_SONGS_AT_A_TIME", 7 * 13)
    source = np.random.default_rng(1)
    songs = {"loss": 13, "accuracy": 13, "rank": 11}
    base, adapted = ({}, {})
    for name, count in songs.items():
        weight = source.integers(1, 9, count).astype(float)
        base[name], adapted[name] = SongSums(source.random(count), weight), SongSums(source.random(count), weight)
    found = paired_differences(base, adapted, seed=5)
    for name, count in songs.items():
        drawn, differences = np.random.default_rng(5), []
        for _ in range(50):
            sample = [int(drawn.integers(count)) for _ in range(count)]
            change = sum(adapted[name].value[song] - base[name].value[song] for song in sample)
            differences.append(change / sum(base[name].weight[song] for song in sample))
        expected = np.percentile(differences, [2.5, 97.5])
        assert (found[name].low, found[name].high) == pytest.approx(tuple(expected), abs=1e-12)
        assert found[name].songs == count
