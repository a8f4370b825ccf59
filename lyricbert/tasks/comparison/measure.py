"""Measures the pieces of a comparison. All models get the same held-out lines and triplets, and the same masks."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from lyricbert.batches.examples import unit_examples
from lyricbert.evaluation.evaluate import MaskedLMEvaluator, sample_examples
from lyricbert.evaluation.intervals import SongSums, sum_by_song
from lyricbert.models.loading import load_masked_lm, load_tokenizer_for
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import resolve_precision
from lyricbert.songs.store import TokenStore
from lyricbert.songs.tokenizer import vocabulary
from lyricbert.tasks.comparison.pieces import Piece
from lyricbert.tasks.comparison.results import Result
from lyricbert.tasks.config import CompareConfig
from lyricbert.tasks.triplet import TripletTask
from lyricbert.training.loop import Hook, Trainer


class Measurer:
    """Measures pieces in this process alone."""

    def __init__(self, config: CompareConfig, store: TokenStore, device: torch.device):
        """Load each model once, so that a bad model, store or setting is found before any work. Raises `UserError`."""
        self._store, self._world = store, World(rank=0, size=1, device=device)
        names = [name for side in config.models.values() for name in side]
        # All models get the same lines and sections: those that fit into each.
        self._positions = min(load_masked_lm(name)[0].bert.config.max_position_embeddings for name in names)
        self._config = replace(config, max_length=min(config.max_length, self._positions))
        unit_examples(store, "line", self._positions)
        for name in names:
            self._trainer(name, config.seed)

    def name_of(self, piece: Piece) -> str:
        """The directory or hub name of the model that the piece measures."""
        return self._config.models[piece.side][piece.model]

    def measure(self, piece: Piece, hooks: Sequence[Hook]) -> Result:
        """The result of a piece. `hooks`: of its training."""
        name = self.name_of(piece)
        return self._evaluate(name) if piece.seed is None else self._train(name, piece.seed, hooks)

    def _evaluate(self, name: str) -> Result:
        model, has_head = load_masked_lm(name)
        tokenizer = load_tokenizer_for(name, model.bert.config.vocab_size, self._store)
        lines = unit_examples(self._store, "line", self._positions)[1]
        examples = sample_examples(lines, self._config.eval_examples)
        precision = resolve_precision(self._config.precision, self._world.device)
        evaluator = MaskedLMEvaluator(examples, vocabulary(tokenizer), self._world, precision)
        song = self._store.song_of_line()[examples.first_line]
        figures = masked_lm_figures(model.to(self._world.device), evaluator, song)
        del model  # the sentence encoder needs its memory
        # Always seed 0: a seed chooses the training songs. They decide the shapes of batches, which change rounding.
        task = TripletTask(replace(self._config, seed=0), name, self._store, self._world)
        figures |= {f"untrained_{name}": sums for name, sums in triplet_figures(task).items()}
        counts = {"has_head": int(has_head), "lines": len(examples), "all_lines": len(lines), **_triplet_counts(task)}
        return Result(figures, counts)

    def _train(self, name: str, seed: int, hooks: Sequence[Hook]) -> Result:
        task, trainer = self._trainer(name, seed)
        trainer.train(hooks)
        return Result(triplet_figures(task), {})

    def _trainer(self, name: str, seed: int) -> tuple[TripletTask, Trainer]:
        config = replace(self._config, seed=seed)
        task = TripletTask(config, name, self._store, self._world)
        return task, Trainer(task, config, self._world)


def _triplet_counts(task: TripletTask) -> dict[str, int]:
    return {
        "songs": task.training.songs,
        "all_songs": task.training.all_songs,
        "triplets": task.validation.rows.shape[1],
        "all_triplets": task.validation.all_triplets,
        "too_long": task.training.too_long + task.validation.too_long,
    }


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


def triplet_figures(task: TripletTask) -> dict[str, SongSums]:
    """The figures of a sentence encoder on its held-out triplets."""
    song = task.validation.song[task.validation.rows[0]]
    scores = task.scores()
    terms = sum_by_song(song, np.ones(len(song)))
    return {
        "triplet_loss": SongSums(sum_by_song(song, scores["loss"]), terms),
        "triplet_accuracy": SongSums(sum_by_song(song, scores["correct"]), terms),
    }
