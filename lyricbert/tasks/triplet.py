"""Triplet training of a sentence encoder, as a task for the training loop."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from lyricbert.batches.batching import MicroBatch
from lyricbert.batches.flat import FlatShapes, make_flat_batch
from lyricbert.batches.sampler import resolve_micro_batches
from lyricbert.batches.song_sampler import SongSampler
from lyricbert.batches.triplets import draw_triplets, held_out_triplets, labelled_sections
from lyricbert.evaluation.evaluate import embed, triplet_scores
from lyricbert.hashing import derive_key
from lyricbert.models.loading import load_sentence_encoder, load_tokenizer_for
from lyricbert.models.sentence_encoder import SentenceEncoder
from lyricbert.models.triplet_loss import count_terms, triplet_loss
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import resolve_precision
from lyricbert.songs.store import TRAIN, TokenStore
from lyricbert.songs.tokenizer import vocabulary
from lyricbert.tasks.config import TripletConfig


class TripletModel(nn.Module):
    """A sentence encoder with a triplet loss. It encodes each section of a micro-batch once."""

    def __init__(self, encoder: SentenceEncoder, loss: str, distance: str, margin: float):
        super().__init__()
        self.encoder = encoder
        self._loss = (loss, distance, margin)

    def forward(
        self, songs: torch.Tensor, rows: torch.Tensor, section_row: torch.Tensor, *encoder_inputs: torch.Tensor
    ) -> torch.Tensor:
        """The loss, summed over its terms: float32 [].

        `songs`: int64 [S], the song of each section. `rows`: int64 [3, T], anchors, positives and negatives as indices
        of sections. `section_row`: int64 [S], the row of each section in the result of the encoder.
        """
        embeddings = self.encoder(*encoder_inputs).float().index_select(0, section_row)
        return triplet_loss(embeddings, songs, rows, *self._loss)


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
        self.training = labelled_sections(store, TRAIN, longest, derive_key("triplets", config.seed), config.max_songs)
        self.validation = held_out_triplets(store, longest, config.eval_triplets)
        lengths, held_out = self.training.sections.lengths, self.validation.sections.lengths
        self._shapes = FlatShapes(lengths, config.tokens_per_batch)
        self.sampler = SongSampler(
            lengths,
            self.training.song,
            self._shapes.padded_lengths(lengths),
            config.tokens_per_batch,
            resolve_micro_batches(config.global_micro_batches, world.size, config.fewest_micro_batches),
            config.seed,
        )
        # Shapes of its own, because the shapes of training decide on dropout, and so on the weights.
        self._evaluation_shapes = FlatShapes(held_out, max(config.tokens_per_batch, int(held_out.max())))

    def describe_songs(self) -> str:
        """How many songs are trained on, and how much is left out, in words."""
        songs, all_songs = self.training.songs, self.training.all_songs
        too_few = self.training.too_few + self.validation.too_few
        too_long = self.training.too_long + self.validation.too_long
        lines = [f"training on {songs} of {all_songs} songs, with {self.validation.rows.shape[1]} held-out triplets"]
        if too_few:
            lines.append(f"left out {too_few} songs: they have fewer than two different sections")
        if too_long:
            lines.append(f"left out {too_long} sections: their first line is longer than --max-length")
        return "\n".join(lines)

    def micro_batch(self, indices: np.ndarray, epoch: int) -> MicroBatch:
        """The micro-batch of the sections `indices`, int64 [S].

        An empty one encodes one section, so that every rank runs the model, but it counts as nothing.
        """
        sections = indices if len(indices) else np.array([0])
        batch = make_flat_batch(self.training.sections, sections, self._vocabulary, self._shapes)
        song = self.training.song[sections]
        drawn = draw_triplets(song, sections, derive_key("triplets", self._config.seed, epoch))
        songs, rows = torch.from_numpy(song), torch.from_numpy(drawn)
        return MicroBatch(
            inputs=(songs, rows, batch.row, *batch.inputs),
            examples=self.training.sections.first_line[indices],
            terms=count_terms(songs, rows, self._config.loss),
            lines=batch.lines if len(indices) else 0,
            real_tokens=batch.real_tokens if len(indices) else 0,
            padded_tokens=len(batch.inputs[0]),
            triplets=rows.shape[1],
        )

    def scores(self) -> dict[str, np.ndarray]:
        """The scores of the held-out triplets; see `evaluate.triplet_scores`. Every rank must call it."""
        embeddings = embed(
            self.module.encoder,
            self.validation.sections,
            self._vocabulary,
            self._world,
            self._precision,
            self._evaluation_shapes,
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
