"""Triplet training of a sentence encoder, as a task for the training loop."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lyricbert.batches.batching import MicroBatch, make_batch
from lyricbert.batches.sampler import LengthBucketSampler, resolve_micro_batches
from lyricbert.batches.shapes import Shapes
from lyricbert.batches.triplets import draw_triplets
from lyricbert.evaluation.evaluate import embed, triplet_scores
from lyricbert.hashing import derive_key
from lyricbert.models.loading import load_sentence_encoder, load_tokenizer_for
from lyricbert.models.sentence_encoder import SentenceEncoder
from lyricbert.models.triplet_loss import count_terms, triplet_loss
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import resolve_precision
from lyricbert.songs.store import TRAIN, VALIDATION, TokenStore
from lyricbert.songs.tokenizer import vocabulary
from lyricbert.tasks.config import TripletConfig


class TripletModel(nn.Module):
    """A sentence encoder with a triplet loss. One forward pass embeds anchors, positives and negatives."""

    def __init__(self, encoder: SentenceEncoder, loss: str, distance: str, margin: float):
        super().__init__()
        self.encoder = encoder
        self._loss = (loss, distance, margin)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        songs: torch.Tensor,
    ) -> torch.Tensor:
        """The loss, summed over its terms: float32 [].

        `input_ids`, `attention_mask`, `position_ids`: int64 [3 * T, width], all anchors, then all positives, then all
        negatives. `songs`: int64 [3 * T].
        """
        rows = torch.arange(len(songs), device=songs.device).view(3, -1)
        return triplet_loss(self.encoder(input_ids, attention_mask, position_ids), songs, rows, *self._loss)


class TripletTask:
    """Trains a sentence encoder to place sections of the same song closer together than sections of other songs."""

    name = "triplet"
    best_metric = "eval/triplet_loss"

    def __init__(self, config: TripletConfig, model_name: str, store: TokenStore, world: World):
        """Load the encoder of `model_name`. Raises `UserError` if it does not fit the store, or songs are too few."""
        encoder = load_sentence_encoder(model_name, config.pooling)
        self.module = TripletModel(encoder, config.loss, config.distance, config.margin).to(world.device)
        self._config, self._world = config, world
        self._precision = resolve_precision(config.precision, world.device)
        self._tokenizer = load_tokenizer_for(model_name, encoder.bert.config.vocab_size, store)
        self._vocabulary = vocabulary(self._tokenizer)
        longest = min(config.max_length, encoder.bert.config.max_position_embeddings)
        self.training = draw_triplets(store, TRAIN, derive_key("triplets", config.seed), longest, config.max_songs)
        self.validation = draw_triplets(store, VALIDATION, derive_key("held-out triplets"), longest)
        micro_batches = resolve_micro_batches(config.global_micro_batches, world.size)
        self.sampler = LengthBucketSampler(
            3 * self.training.lengths(), config.tokens_per_batch, micro_batches, config.seed
        )
        # A triplet is three rows of a third of the width that the sampler sees.
        shapes = Shapes(self.sampler.shapes.widths // 3, 3 * self.sampler.shapes.rows)
        self._shapes = shapes.covering(int(self.validation.sections.lengths.max()), config.tokens_per_batch)

    def micro_batch(self, indices: np.ndarray, epoch: int) -> MicroBatch:
        rows = self.training.rows[:, indices[:, 0]].flatten()
        longest = int(self.training.sections.lengths[rows].max())
        shape = (len(rows), self.sampler.width(len(indices), 3 * longest) // 3)
        batch = make_batch(self.training.sections, rows[:, None], self._vocabulary, shape)
        songs = torch.from_numpy(self.training.song[rows])
        return MicroBatch(
            inputs=(batch.input_ids, batch.attention_mask, batch.position_ids, songs),
            examples=self.training.sections.first_line[rows],
            terms=count_terms(songs, torch.arange(len(rows)).view(3, -1), self._config.loss),
            lines=batch.lines,
            real_tokens=batch.real_tokens,
            padded_tokens=batch.input_ids.numel(),
            triplets=len(indices),
        )

    def scores(self) -> dict[str, np.ndarray]:
        """The scores of the held-out triplets; see `evaluate.triplet_scores`. Every rank must call it."""
        embeddings = embed(
            self.module.encoder,
            self.validation.sections,
            self._vocabulary,
            self._world,
            self._precision,
            self._shapes,
        )
        return triplet_scores(embeddings, self.validation, self._config.distance, self._config.margin)

    def evaluate(self) -> dict[str, float]:
        scores = self.scores()
        return {
            "eval/triplet_loss": scores["loss"].mean(),
            "eval/triplet_accuracy": scores["correct"].mean(),
            "eval/positive_distance": scores["positive"].mean(),
            "eval/negative_distance": scores["negative"].mean(),
            "eval/active_triplets": scores["active"].mean(),
        }

    def prediction_table(self) -> None:
        return None

    def save(self, directory: Path) -> None:
        self.module.encoder.save(directory, self._tokenizer)
