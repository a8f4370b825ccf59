"""The parts of benchmarks/coverage.py that its figures depend on."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmarks.coverage import draw_sides, read_effects, variance_components

DEVIATIONS = {"m": 0.1, "s": 0.2, "k": 0.5, "ms": 0.1, "mk": 0.3, "sk": 0.3, "msk": 0.6}


def drawn(rng: np.random.Generator, models: int, seeds: int, songs: int) -> np.ndarray:
    levels = {"m": models, "s": seeds, "k": songs}
    effects = (
        rng.normal(0, deviation, [count if name in names else 1 for name, count in levels.items()])
        for names, deviation in DEVIATIONS.items()
    )
    return sum(effects, np.zeros((models, seeds, songs)))


def test_variance_components_are_those_that_were_drawn():
    rng = np.random.default_rng(0)
    found = [variance_components(drawn(rng, 4, 5, 60)) for _ in range(300)]
    for names, deviation in DEVIATIONS.items():
        assert np.mean([row[names] for row in found]) == pytest.approx(deviation**2, rel=0.25)


def test_the_effects_of_a_comparison_are_read_from_its_results(tmp_path):
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 9, 80).astype(float)
    (tmp_path / "results").mkdir()
    change = drawn(rng, 3, 4, 80)
    for model in range(3):
        for seed in range(4):
            for side, value in (("base", np.full(80, 2.0)), ("adapted", 2 + change[model, seed])):
                if side == "adapted" or model == 0:
                    arrays = {"triplet_loss.value": value * weight, "triplet_loss.weight": weight}
                    save_file(arrays, tmp_path / f"results/{side}-{model + 1}-seed-{seed}.safetensors")
    effects = read_effects(tmp_path)
    assert effects.base == pytest.approx(2)
    assert (effects.songs * weight).sum() == pytest.approx(0, abs=1e-9)
    assert effects.deviations.keys() == {"m", "s", "ms", "mk", "sk", "msk"}
    components = variance_components(change)
    assert effects.songs.var(ddof=1) == pytest.approx(components["k"])
    assert effects.deviations["msk"] ** 2 == pytest.approx(components["msk"])


def test_the_true_difference_of_a_simulated_comparison_is_0(tmp_path):
    test_the_effects_of_a_comparison_are_read_from_its_results(tmp_path)
    effects = read_effects(tmp_path)
    rng = np.random.default_rng(2)
    differences = []
    for _ in range(300):
        base, adapted = draw_sides(rng, effects, 3, 3, 50)
        assert adapted.value.shape == (3, 3, 50) and base.value.shape == (1, 3, 50)
        differences.append(adapted.mean() - base.mean())
    assert abs(np.mean(differences)) < 3 * np.std(differences) / np.sqrt(300)
