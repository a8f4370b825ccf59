"""Did adapting help? The base and the adapted model side by side, with error bars.

    python -m lyricbert.compare --data DATA --base bert-base-uncased --adapted RUN/model --out DIR

Trains the triplet task from both models, with the same triplets for each seed; evaluates the MLM loss of both under
the same masks, and the rank of the same masked words, on the held-out songs. Writes DIR/report.md and
DIR/report.json: each figure of both, the paired difference with its 95 % bootstrap interval over songs, a verdict.
"""

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lyricbert.batches.examples import unit_examples
from lyricbert.config import option, parse, to_json
from lyricbert.errors import UserError, run_command
from lyricbert.evaluation.bootstrap import FEWEST_SONGS, RESAMPLES, Paired, paired_difference, sum_by_song
from lyricbert.evaluation.evaluate import MaskedLMEvaluator, sample_examples
from lyricbert.files import new_directory, write_json
from lyricbert.models.masked_lm import MaskedLM, load_masked_lm, load_tokenizer_for
from lyricbert.runtime.distributed import World, start_world
from lyricbert.songs.store import TokenStore, open_store
from lyricbert.songs.tokenizer import vocabulary
from lyricbert.tasks.triplet import TripletConfig, TripletTask
from lyricbert.training.loop import Trainer

FIGURES = {
    # name: (what it is, whether lower is better)
    "triplet_loss": ("triplet loss after training", True),
    "triplet_accuracy": ("triplet accuracy after training", False),
    "untrained_triplet_loss": ("triplet loss before training", True),
    "untrained_triplet_accuracy": ("triplet accuracy before training", False),
    "mlm_loss": ("MLM loss", True),
    "mlm_accuracy": ("MLM accuracy", False),
    "fill_reciprocal_rank": ("mean reciprocal rank of a masked word", False),
    "fill_top10": ("masked word among the first ten", False),
}
MLM_FIGURES = ("mlm_loss", "mlm_accuracy", "fill_reciprocal_rank", "fill_top10")
_HEADLESS = (
    "The {side} model has no MLM head. Its MLM and fill-in figures are those of a fresh, untrained head and say nothing"
    " of its encoder, so no verdict is drawn from them."
)
_FEW_SONGS = (
    f"An interval over fewer than {FEWEST_SONGS} held-out songs is too narrow to be trusted, so no verdict is drawn"
    " from one. Prepare with a larger --val-fraction, or more songs."
)
# Whether adapting was worth it is decided by the task it was meant for.
DECISIVE = "triplet_loss"


@dataclass(frozen=True, kw_only=True)
class CompareConfig(TripletConfig):
    """comparison"""

    data: Path = option("the token store that lyricbert.prepare made")
    base: str = option("the model before adapting: a directory or a hub name")
    adapted: str = option("the model after it, e.g. RUN/model")
    out: Path = option("the directory to make for the report; must not exist")
    # One process: the trainer's four micro-batches of 1024 tokens in one.
    tokens_per_batch: int = option("most padded tokens in a micro-batch", 4096, check="positive")
    global_micro_batches: int = option("micro-batches in a step", 1, check="positive")
    seeds: int = option("triplet trainings of each model, from --seed on", 5, check="positive")
    eval_examples: int = option("most held-out lines for the MLM figures", 10_000, check="positive")


@dataclass(frozen=True)
class SongSums:
    """A figure of one model: its sum and its number of terms over each song, float64 [songs] each."""

    value: np.ndarray
    weight: np.ndarray


def main() -> None:
    config = parse(CompareConfig, __doc__)
    store = open_store(config.data)
    with new_directory(config.out) as directory, start_world() as world:
        if world.size > 1:
            raise UserError("compare runs as one process; start it without torchrun")
        report = make_report(config, store, world)
        write_json(directory / "report.json", report)
        (directory / "report.md").write_text(format_report(report), encoding="utf-8")
    print(format_report(report))


def make_report(config: CompareConfig, store: TokenStore, world: World) -> dict[str, object]:
    """Everything that report.json holds."""
    sides = {"base": config.base, "adapted": config.adapted}
    for name in sides.values():
        TripletTask(config, name, store, world)  # a mistake shows now, not after the MLM figures
    figures, headless = _masked_lm_of_both(sides, config, store, world)
    untrained, trained = _triplets_of_both(sides, config, store, world)
    for side in sides:
        figures[side] |= untrained[side] | _mean_over_seeds([run[side] for run in trained])
    rows = {}
    for name, (_, lower_is_better) in FIGURES.items():
        paired = _compare(figures, name)
        comparable = not (headless and name in MLM_FIGURES)
        verdict = paired.verdict(lower_is_better) if comparable else "cannot tell"
        rows[name] = {**dataclasses.asdict(paired), "verdict": verdict}
    notes = [_HEADLESS.format(side=side) for side in headless]
    if any(row["songs"] < FEWEST_SONGS for row in rows.values()):
        notes.append(_FEW_SONGS)
    return {
        "verdict": rows[DECISIVE]["verdict"],
        "decided_by": DECISIVE,
        "figures": rows,
        "by_seed": [_by_seed(config.seed + number, one) for number, one in enumerate(trained)],
        "notes": notes,
        "config": {**to_json(config), "store": store.identity},
    }


def _masked_lm_of_both(
    sides: dict[str, str], config: CompareConfig, store: TokenStore, world: World
) -> tuple[dict[str, dict[str, SongSums]], list[str]]:
    """(the MLM figures of each side on the held-out lines, the sides that came without an MLM head)."""
    models, headless = {}, []
    for side, name in sides.items():  # both first: a mistake shows now, not after the first model's figures
        models[side], has_head = load_masked_lm(name)
        tokenizer = load_tokenizer_for(name, models[side].bert.config.vocab_size, store)
        if not has_head:
            headless.append(side)
    longest = min(model.bert.config.max_position_embeddings for model in models.values())
    examples = sample_examples(unit_examples(store, "line", longest)[1], config.eval_examples)
    evaluator = MaskedLMEvaluator(examples, vocabulary(tokenizer), world, config.resolved_precision(world.device))
    song = store.song_of_line()[examples.first_line]
    figures = {}
    for side, model in models.items():
        _say(f"{side}: masked-language-model figures of {sides[side]}")
        figures[side] = masked_lm_figures(model.to(world.device), evaluator, song)
    return figures, headless


def masked_lm_figures(model: MaskedLM, evaluator: MaskedLMEvaluator, song: np.ndarray) -> dict[str, SongSums]:
    """The MLM figures of a model. `song`: int64 [E], the song of each of the evaluator's examples."""
    loss, masked, correct = evaluator.losses(model).T
    ranks = evaluator.ranks(model)
    ranked = ranks > 0
    song_of_rank, ranks = song[ranked], ranks[ranked]
    terms = sum_by_song(song, masked)
    words = sum_by_song(song_of_rank, np.ones_like(ranks))
    return {
        "mlm_loss": SongSums(sum_by_song(song, loss), terms),
        "mlm_accuracy": SongSums(sum_by_song(song, correct), terms),
        "fill_reciprocal_rank": SongSums(sum_by_song(song_of_rank, 1 / ranks), words),
        "fill_top10": SongSums(sum_by_song(song_of_rank, (ranks <= 10).astype(float)), words),
    }


def _triplets_of_both(
    sides: dict[str, str], config: CompareConfig, store: TokenStore, world: World
) -> tuple[dict[str, dict[str, SongSums]], list[dict[str, dict[str, SongSums]]]]:
    """(the triplet figures of each side before training, those of each side after training for every seed)."""
    untrained, trained = {}, []
    for seed in range(config.seed, config.seed + config.seeds):
        seeded, run = dataclasses.replace(config, seed=seed), {}
        for side, name in sides.items():
            _say(f"seed {seed}: triplet training from {side}")
            task = TripletTask(seeded, name, store, world)
            if side not in untrained:  # the held-out triplets are the same for every seed
                untrained[side] = triplet_figures(task, "untrained_")
            Trainer(task, seeded, world).train(hooks=[])
            run[side] = triplet_figures(task)
        trained.append(run)
    return untrained, trained


def triplet_figures(task: TripletTask, prefix: str = "") -> dict[str, SongSums]:
    """The figures of a sentence encoder on its held-out triplets, their names after `prefix`."""
    song = task.validation.song[task.validation.rows[0]]
    scores = task.scores()
    terms = sum_by_song(song, np.ones(len(song)))
    return {
        f"{prefix}triplet_loss": SongSums(sum_by_song(song, scores["loss"]), terms),
        f"{prefix}triplet_accuracy": SongSums(sum_by_song(song, scores["correct"]), terms),
    }


def _mean_over_seeds(runs: list[dict[str, SongSums]]) -> dict[str, SongSums]:
    return {
        name: SongSums(np.mean([run[name].value for run in runs], axis=0), runs[0][name].weight) for name in runs[0]
    }


def _compare(figures: dict[str, dict[str, SongSums]], name: str) -> Paired:
    base, adapted = figures["base"][name], figures["adapted"][name]
    return paired_difference(base.value, adapted.value, base.weight)


def _by_seed(seed: int, one: dict[str, dict[str, SongSums]]) -> dict[str, float]:
    means = {
        f"{side}_{name}": float(sums.value.sum() / sums.weight.sum())
        for side, run in one.items()
        for name, sums in run.items()
    }
    return {"seed": seed, **means}


def format_report(report: dict) -> str:
    """report.md."""
    config = report["config"]
    lines = [
        f"# Did adapting help? **{report['verdict']}**",
        "",
        f"Base: `{config['base']}`. Adapted: `{config['adapted']}`. Decided by the {FIGURES[report['decided_by']][0]}.",
        "",
        "| on held-out songs | base | adapted | difference | 95 % interval | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, row in report["figures"].items():
        what, lower_is_better = FIGURES[name]
        direction = "lower" if lower_is_better else "higher"
        lines.append(
            f"| {what} ({direction} is better) | {row['base']:.4f} | {row['adapted']:.4f}"
            f" | {row['difference']:+.4f} | {row['low']:+.4f} to {row['high']:+.4f} | {row['verdict']} |"
        )
    triplet, masked = report["figures"]["triplet_loss"]["songs"], report["figures"]["mlm_loss"]["songs"]
    lines += [
        "",
        f"Intervals: {RESAMPLES} paired bootstrap samples of the held-out songs ({triplet} with triplets, {masked} with"
        f" lines), figures after training averaged over {config['seeds']} seeds. How much the seeds differ:",
        "",
        "| seed | base triplet loss | adapted | base triplet accuracy | adapted |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['seed']} | {row['base_triplet_loss']:.4f} | {row['adapted_triplet_loss']:.4f}"
        f" | {row['base_triplet_accuracy']:.4f} | {row['adapted_triplet_accuracy']:.4f} |"
        for row in report["by_seed"]
    ]
    return "\n".join([*lines, *(f"\nNote: {note}" for note in report["notes"])]) + "\n"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_command(main)
