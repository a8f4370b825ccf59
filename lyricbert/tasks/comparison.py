"""Measure the base and the adapted model on the same held-out songs."""

import dataclasses
import sys
from dataclasses import dataclass

import numpy as np

from lyricbert.batches.examples import unit_examples
from lyricbert.config import to_json
from lyricbert.errors import UserError
from lyricbert.evaluation.bootstrap import FEWEST_SONGS, PairedDifference, paired_difference, sum_by_song
from lyricbert.evaluation.evaluate import MaskedLMEvaluator, sample_examples
from lyricbert.evaluation.report import DECISIVE, FIGURES, MLM_FIGURES
from lyricbert.models.history import read_history
from lyricbert.models.loading import load_masked_lm, load_tokenizer_for
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import resolve_precision
from lyricbert.songs.store import TokenStore
from lyricbert.songs.tokenizer import vocabulary
from lyricbert.tasks.config import CompareConfig
from lyricbert.tasks.triplet import TripletTask
from lyricbert.training.loop import Trainer

_HEADLESS = (
    "The {side} model has no MLM head. Its MLM and fill-in figures are those of a fresh, untrained head and say nothing"
    " of its encoder, so no verdict is drawn from them."
)
_FEW_SONGS = (
    f"An interval over fewer than {FEWEST_SONGS} held-out songs is too narrow to be trusted, so no verdict is drawn"
    " from one. Prepare with a larger --val-fraction, or more songs."
)


@dataclass(frozen=True)
class SongSums:
    """A figure of one model for each song: the sum of its terms and their number, float64 [songs] each."""

    value: np.ndarray
    weight: np.ndarray


def make_report(config: CompareConfig, store: TokenStore, world: World) -> dict[str, object]:
    """Measure both models. Returns the content of report.json.

    Raises `UserError` if a model was trained on held-out songs of the store, or does not fit the store.
    """
    sides = {"base": config.base, "adapted": config.adapted}
    for side, name in sides.items():
        problem = read_history(name).describe_seen(store)
        if problem is not None:
            raise UserError(f"--{side} {name} {problem}")
    for name in sides.values():
        TripletTask(config, name, store, world)  # raises a UserError now, not after the MLM evaluation
    figures, headless = _measure_masked_lms(sides, config, store, world)
    untrained, trained = _train_and_score_triplets(sides, config, store, world)
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


def _measure_masked_lms(
    sides: dict[str, str], config: CompareConfig, store: TokenStore, world: World
) -> tuple[dict[str, dict[str, SongSums]], list[str]]:
    """(MLM figures of each side on the held-out lines, the sides whose model has no MLM head)."""
    models, headless = {}, []
    for side, name in sides.items():  # load both models before the first evaluation, to fail early
        models[side], has_head = load_masked_lm(name)
        tokenizer = load_tokenizer_for(name, models[side].bert.config.vocab_size, store)
        if not has_head:
            headless.append(side)
    longest = min(model.bert.config.max_position_embeddings for model in models.values())
    examples = sample_examples(unit_examples(store, "line", longest)[1], config.eval_examples)
    precision = resolve_precision(config.precision, world.device)
    evaluator = MaskedLMEvaluator(examples, vocabulary(tokenizer), world, precision)
    song = store.song_of_line()[examples.first_line]
    figures = {}
    for side, model in models.items():
        _say(f"evaluating the masked language model of the {side} model {sides[side]}")
        figures[side] = masked_lm_figures(model.to(world.device), evaluator, song)
    return figures, headless


def masked_lm_figures(model: MaskedLM, evaluator: MaskedLMEvaluator, song: np.ndarray) -> dict[str, SongSums]:
    """The MLM figures of a model. `song`: int64 [E], the song of each of the evaluator's examples."""
    loss, masked, correct = evaluator.losses(model).T
    ranks = evaluator.masked_word_ranks(model)
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


def _train_and_score_triplets(
    sides: dict[str, str], config: CompareConfig, store: TokenStore, world: World
) -> tuple[dict[str, dict[str, SongSums]], list[dict[str, dict[str, SongSums]]]]:
    """(triplet figures of each side before triplet training; for each seed, those of each side after it)."""
    untrained, trained = {}, []
    for seed in range(config.seed, config.seed + config.seeds):
        seeded, run = dataclasses.replace(config, seed=seed), {}
        for side, name in sides.items():
            _say(f"seed {seed}: triplet training of the {side} model")
            task = TripletTask(seeded, name, store, world)
            if side not in untrained:  # the held-out triplets are the same for every seed
                untrained[side] = triplet_figures(task, "untrained_")
            Trainer(task, seeded, world).train(hooks=[])
            run[side] = triplet_figures(task)
        trained.append(run)
    return untrained, trained


def triplet_figures(task: TripletTask, prefix: str = "") -> dict[str, SongSums]:
    """The figures of a sentence encoder on its held-out triplets. Their names begin with `prefix`."""
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


def _compare(figures: dict[str, dict[str, SongSums]], name: str) -> PairedDifference:
    base, adapted = figures["base"][name], figures["adapted"][name]
    return paired_difference(base.value, adapted.value, base.weight)


def _by_seed(seed: int, one: dict[str, dict[str, SongSums]]) -> dict[str, float]:
    means = {
        f"{side}_{name}": float(sums.value.sum() / sums.weight.sum())
        for side, run in one.items()
        for name, sums in run.items()
    }
    return {"seed": seed, **means}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
