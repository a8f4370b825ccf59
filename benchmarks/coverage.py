"""Simulate how often the intervals of `compare` contain the true difference, and how often a verdict is false.

    python benchmarks/coverage.py runs/first runs/second runs/third

Each argument is the --out directory of a finished comparison with at least two adapted models and two seeds. Its
results give the variances of the triplet loss after training: those of songs, seeds, adapted models and their
interactions. A simulated comparison draws songs from those of the real one, with replacement. Each song keeps its
number of triplets and its mean difference. Effects of seeds, adapted models and interactions are normally distributed.
The true difference is always 0. With one adapted model, no effect of the model is added.

The simulation covers 3, 5 and 10 seeds; 10, 30, 100 and 300 songs; and one or three adapted models. One table shows the
percentage of intervals that contain the true difference. The other shows the percentage of false `helped` or `hurt`
verdicts. `--method pigeonhole` measures the pigeonhole bootstrap instead of the intervals of `compare`.
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from lyricbert.evaluation.intervals import Difference, SideSums, paired_difference
from lyricbert.evaluation.verdict import decide

FIGURE = "triplet_loss"
SEEDS, SONGS, ADAPTATIONS = (3, 5, 10), (10, 30, 100, 300), (1, 3)
SMALLEST = 0.01  # the default of --smallest-difference
RESAMPLES = 200

Method = Callable[[SideSums, SideSums, np.random.Generator], Difference]


@dataclass(frozen=True)
class Effects:
    """The effects in the differences of a real comparison.

    `songs`: float64 [songs], the mean difference of each song, less the overall mean. `weights`: float64 [songs], its
    number of triplets. `deviations`: the standard deviation of every other effect, by the names of its factors: m
    (adapted models), s (seeds), k (songs). `base`: the mean of the base.
    """

    songs: np.ndarray
    weights: np.ndarray
    deviations: dict[str, float]
    base: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", nargs="+", type=Path, metavar="OUT")
    parser.add_argument("--method", choices=list(METHODS), default="compare")
    parser.add_argument("--simulations", type=int, default=4000, metavar="N")
    options = parser.parse_args()
    covered, decided = [], []
    for out in options.comparisons:
        effects = read_effects(out)
        print(f"\n{out}: {len(effects.songs)} songs; standard deviations: {in_words(effects)}")
        tables = simulate_all(effects, METHODS[options.method], options.simulations)
        for title, table, cells in zip(
            ("contains the true difference", "false"), tables, (covered, decided), strict=True
        ):
            print_table(title, table)
            cells.extend(table.values())
    print(f"\ncoverage: lowest {100 * min(covered):.1f} %, mean {100 * np.mean(covered):.1f} %")
    print(f"false verdicts: highest {100 * max(decided):.1f} %, mean {100 * np.mean(decided):.1f} %")


def read_effects(out: Path) -> Effects:
    """The effects in the results of the comparison in `out`."""
    base, adapted = read_sides(out, FIGURE)
    change = (adapted.value - base.value.mean(axis=0)) / base.weight
    variances = variance_components(change)
    overall = (change.mean(axis=(0, 1)) * base.weight).sum() / base.weight.sum()
    songs = change.mean(axis=(0, 1)) - overall
    songs *= math.sqrt(variances.pop("k") / songs.var(ddof=1))  # without the interactions
    return Effects(songs, base.weight, {name: math.sqrt(variance) for name, variance in variances.items()}, base.mean())


def variance_components(table: np.ndarray) -> dict[str, float]:
    """The variance components of `table`, float64 [models, seeds, songs], by the names of their factors (m, s, k).

    From the mean squares of a three-way analysis of variance without replication. Negative estimates become 0.
    """
    axes = {"m": 0, "s": 1, "k": 2}
    levels = {name: table.shape[axis] for name, axis in axes.items()}
    effects, squares = {"": table.mean(keepdims=True)}, {}
    for name in ("m", "s", "k", "ms", "mk", "sk", "msk"):
        others = tuple(axis for factor, axis in axes.items() if factor not in name)
        lower = sum(effect for part, effect in effects.items() if set(part) < set(name))
        effects[name] = table.mean(axis=others, keepdims=True) - lower
        repeats = math.prod(count for factor, count in levels.items() if factor not in name)
        freedom = math.prod(levels[factor] - 1 for factor in name)
        squares[name] = float((effects[name] ** 2).sum()) * repeats / freedom
    found: dict[str, float] = {"msk": squares["msk"]}
    for name in ("ms", "mk", "sk", "m", "s", "k"):
        repeats = {factor: count for factor, count in levels.items() if factor not in name}
        higher = sum(
            found[part] * math.prod(count for factor, count in repeats.items() if factor not in part)
            for part in found
            if set(part) > set(name)
        )
        found[name] = max(0.0, (squares[name] - higher) / math.prod(repeats.values()))
    return found


def read_sides(out: Path, figure: str) -> tuple[SideSums, SideSums]:
    """(base, adapted): a figure after training, from the results in `out`."""
    pieces = [path.stem.split("-") for path in (out / "results").glob("*-seed-*.safetensors")]
    seeds = sorted({int(seed) for *_, seed in pieces})
    sides = []
    for side in ("base", "adapted"):
        models = sorted({int(model) for found, model, *_ in pieces if found == side})
        files = [
            [load_file(out / f"results/{side}-{model}-seed-{seed}.safetensors") for seed in seeds] for model in models
        ]
        value = np.array([[arrays[f"{figure}.value"] for arrays in row] for row in files])
        sides.append(SideSums(value, files[0][0][f"{figure}.weight"]))
    return sides[0], sides[1]


def simulate_all(effects: Effects, method: Method, simulations: int) -> tuple[dict[tuple[int, int, int], float], ...]:
    """(share covered, share of false verdicts) of each cell: models, seeds, songs."""
    covered, decided = {}, {}
    for cell in product(ADAPTATIONS, SEEDS, SONGS):
        rng = np.random.default_rng(cell)
        found = [method(*draw_sides(rng, effects, *cell), rng) for _ in range(simulations)]
        covered[cell] = float(np.mean([row.low <= 0 <= row.high for row in found]))
        decided[cell] = float(np.mean([decide(row, True, True, SMALLEST) in ("helped", "hurt") for row in found]))
    return covered, decided


def draw_sides(
    rng: np.random.Generator, effects: Effects, models: int, seeds: int, songs: int
) -> tuple[SideSums, SideSums]:
    """Both sides of a simulated comparison, whose true difference is 0."""
    drawn = rng.integers(len(effects.songs), size=songs)
    weight = effects.weights[drawn]
    change = np.broadcast_to(effects.songs[drawn], (models, seeds, songs)).copy()
    shape = {"m": models, "s": seeds, "k": songs}
    for name, deviation in effects.deviations.items():
        if name == "m" and models == 1:
            continue  # the true difference is that of this model
        change += rng.normal(0, deviation, [count if factor in name else 1 for factor, count in shape.items()])
    base = np.full((1, seeds, songs), effects.base)
    return SideSums(base * weight, weight), SideSums((base + change) * weight, weight)


def compare_method(base: SideSums, adapted: SideSums, rng: np.random.Generator) -> Difference:
    """The intervals of `compare`. They need no random numbers."""
    return paired_difference(base, adapted)


def pigeonhole(base: SideSums, adapted: SideSums, rng: np.random.Generator) -> Difference:
    """The percentile interval of the pigeonhole bootstrap, which resamples songs, seeds and models independently.

    Of n levels, n - 1 are drawn, so that few levels do not make the interval narrow (Rao and Wu, "Resampling inference
    with complex survey data", 1988).
    """
    change = adapted.value - base.value
    songs = draw_counts(rng, change.shape[2])
    sums = np.tensordot(change, songs, (2, 1)) / (songs @ base.weight)  # [models, seeds, resamples]
    models, seeds = (draw_counts(rng, count) if count > 1 else np.ones((RESAMPLES, 1)) for count in change.shape[:2])
    samples = np.einsum("msr,rm,rs->r", sums, models, seeds) / (models.sum(axis=1) * seeds.sum(axis=1))
    low, high = np.percentile(samples, [2.5, 97.5])
    return dataclasses.replace(paired_difference(base, adapted), low=float(low), high=float(high))


def draw_counts(rng: np.random.Generator, levels: int) -> np.ndarray:
    """float64 [RESAMPLES, levels]: how often each level is drawn."""
    return rng.multinomial(levels - 1, np.full(levels, 1 / levels), size=RESAMPLES).astype(float)


METHODS: dict[str, Method] = {"compare": compare_method, "pigeonhole": pigeonhole}


def in_words(effects: Effects) -> str:
    """The standard deviations of all effects, in units of the figure."""
    deviations = {"k": float(effects.songs.std()), **effects.deviations}
    names = {"m": "models", "s": "seeds", "k": "songs"}
    return ", ".join(f"{' x '.join(names[f] for f in name)} {value:.4f}" for name, value in deviations.items())


def print_table(title: str, table: dict[tuple[int, int, int], float]) -> None:
    print(f"\n| adapted models | seeds | {title}, %: {SONGS[0]} songs | " + " | ".join(map(str, SONGS[1:])) + " |")
    print("|---:|---:|" + "---:|" * len(SONGS))
    for models, seeds in product(ADAPTATIONS, SEEDS):
        print(f"| {models} | {seeds} | " + " | ".join(f"{100 * table[models, seeds, n]:.1f}" for n in SONGS) + " |")


if __name__ == "__main__":
    main()
