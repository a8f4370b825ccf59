"""MLM evaluation with fixed masks, ranks of fixed masked words, and triplet evaluation with fixed triplets.

Each process rank evaluates its share of the batches. The results of all ranks are then summed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from lyricbert.batches.batching import Batch, make_batch, to_device
from lyricbert.batches.examples import Examples
from lyricbert.batches.flat import FlatShapes, cut_by_tokens, make_flat_batch
from lyricbert.batches.masking import (
    EVAL_MASK_RATE,
    IGNORE,
    MaskingTables,
    evaluation_key,
    mask_tokens,
    target_positions,
)
from lyricbert.batches.shapes import Shapes, cut, shapes_of, target_counts
from lyricbert.batches.triplets import Triplets
from lyricbert.hashing import derive_key, hash64, top_bits
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.models.sentence_encoder import SentenceEncoder
from lyricbert.models.triplet_loss import hinge, triplet_distances
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import autocast
from lyricbert.songs.tokenizer import Vocabulary

# Fixed, so that an evaluation outside training does not depend on training flags.
_TOKENS_PER_BATCH = 8192

Masker = Callable[[Batch], tuple[torch.Tensor, torch.Tensor]]


class MaskedLMEvaluator:
    """Evaluates masked language models on the same examples with the same masks, in batches of the same shapes.

    During training, `shapes` and `allowed_targets` (see `shapes.target_counts`) are those of training. So an
    evaluation adds no new shapes, which would need more memory on a CPU.
    """

    def __init__(
        self,
        examples: Examples,
        vocabulary: Vocabulary,
        world: World,
        precision: str,
        shapes: Shapes | None = None,
        allowed_targets: np.ndarray | None = None,
    ):
        self._examples = examples
        self._vocabulary = vocabulary
        self._world = world
        self._precision = precision
        self._shapes = shapes or shapes_of(examples.lengths, _TOKENS_PER_BATCH)
        self._allowed_targets = _at_least(
            target_counts(_TOKENS_PER_BATCH, EVAL_MASK_RATE) if allowed_targets is None else allowed_targets,
            int((self._shapes.rows * self._shapes.widths).max()),
        )
        self._tables = MaskingTables.of(vocabulary)
        self._starts_word = torch.from_numpy(vocabulary.starts_word)
        self._continues_word = torch.from_numpy(vocabulary.continues_word)

    def losses(self, model: MaskedLM) -> np.ndarray:
        """float64 [E, 3]: for each example its summed cross-entropy, masked positions and correct predictions."""

        def measure(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
            loss = F.cross_entropy(logits, gold, reduction="none")
            return torch.stack([loss, torch.ones_like(loss), (logits.argmax(dim=1) == gold).float()], dim=1)

        return self._score(model, self._mask, measure, columns=3)

    def masked_word_ranks(self, model: MaskedLM) -> np.ndarray:
        """float64 [E]: the rank (from 1) of one masked word in each example; 0 if an example has no word to mask."""

        def measure(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
            return gold_ranks(logits, gold).double()[:, None]

        return self._score(model, self.mask_one_word, measure, columns=1)[:, 0]

    def _mask(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return mask_tokens(batch, self._tables, EVAL_MASK_RATE, evaluation_key())

    def mask_one_word(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Mask one word of each example, chosen by hash among the words that are a single token.

        Returns (inputs, targets) like `mask_tokens`: int64 [rows, width] each.
        """
        ids = batch.input_ids
        next_ids = F.pad(ids[:, 1:], (0, 1), value=self._vocabulary.pad)
        candidate = self._starts_word[ids] & ~self._continues_word[next_ids] & (batch.attention_mask == 1)
        row_key = hash64(derive_key("gold word"), batch.example_ids)
        score = top_bits(hash64(row_key, torch.arange(ids.shape[1])), 62).masked_fill(~candidate, 1 << 62)
        chosen = candidate & (score == score.amin(dim=1, keepdim=True))
        return torch.where(chosen, self._vocabulary.mask, ids), torch.where(chosen, ids, IGNORE)

    @torch.no_grad()
    def _score(
        self, model: MaskedLM, mask: Masker, measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], columns: int
    ) -> np.ndarray:
        """Sum the results of `measure` over the masked positions of each example: float64 [E, columns].

        `measure(logits, gold)` returns [P, columns] for `logits`, float32 [P, V], and `gold`, int64 [P].
        """
        result = torch.zeros(len(self._examples), columns, dtype=torch.float64)
        with evaluating(model):
            for indices, shape in _share(self._examples, self._shapes, self._world):
                _, row, logits, gold = self._predict(model, mask, indices, shape)
                measured = measure(logits, gold).double().cpu()
                result.index_add_(0, torch.from_numpy(indices)[row], measured)
        return self._world.sum(result).numpy()

    @torch.no_grad()
    def predictions(self, model: MaskedLM, indices: np.ndarray, top: int) -> list[tuple[list[int], int, list[int]]]:
        """Mask one word in each example of `indices`, int64 [N], and predict it.

        Returns (input ids, original id, the `top` predicted ids, best first) for each example. Examples without a word
        to mask are skipped.
        """
        lengths = self._examples.lengths[indices]
        found = {}
        with evaluating(model):
            for chosen, shape in cut(lengths, self._shapes):
                inputs, row, logits, gold = self._predict(model, self.mask_one_word, indices[chosen], shape)
                best = logits.topk(top).indices
                for n, r in enumerate(row.tolist()):
                    ids = inputs[r, : lengths[chosen[r]]].tolist()
                    found[int(chosen[r])] = (ids, int(gold[n]), best[n].tolist())
        return [found[place] for place in sorted(found)]

    def _predict(
        self, model: MaskedLM, mask: Masker, indices: np.ndarray, shape: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Mask the examples `indices`, int64 [R], in a batch of `shape`, and predict the P masked positions.

        Returns, for the positions in order: (inputs int64 [rows, width], row of each position int64 [P] on the CPU,
        logits float32 [P, V], original ids int64 [P]).
        """
        batch = make_batch(self._examples, indices[:, None], self._vocabulary, shape)
        inputs, targets = mask(batch)
        positions, gold = target_positions(targets, self._allowed_targets)
        arguments = (inputs, batch.needed_mask, batch.position_ids, positions)
        with autocast(self._world.device, self._precision):
            logits = model.masked_logits(*to_device(arguments, self._world.device))
        masked = int((gold != IGNORE).sum())  # padding positions come last
        row, gold = positions[:masked] // inputs.shape[1], gold[:masked].to(self._world.device)
        return inputs, row, logits[:masked].float(), gold


def sample_examples(examples: Examples, most: int) -> Examples:
    """A fixed sample of at most `most` examples, in their original order."""
    if len(examples) <= most:
        return examples
    by_hash = np.argsort(hash64(derive_key("evaluation sample"), examples.first_line.astype(np.int64)), kind="stable")
    return examples.take(np.sort(by_hash[:most]))


def gold_ranks(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """The rank (from 1) of each id of `gold`, int64 [P], in `logits`, float32 [P, V]. Returns int64 [P].

    Tied ids get the best of their ranks.
    """
    return 1 + (logits > logits.gather(1, gold[:, None])).sum(dim=1)


@torch.no_grad()
def embed(
    encoder: SentenceEncoder,
    sections: Examples,
    vocabulary: Vocabulary,
    world: World,
    precision: str,
    shapes: FlatShapes,
) -> torch.Tensor:
    """Embed all sections in batches of `shapes`. Every rank gets all embeddings: float32 [S, hidden], on the CPU."""
    embeddings = torch.zeros(len(sections), encoder.bert.config.hidden_size)
    batches = cut_by_tokens(sections.lengths, shapes.most_tokens)
    with evaluating(encoder):
        for indices in batches[world.rank :: world.size]:
            batch = make_flat_batch(sections, indices, vocabulary, shapes)
            with autocast(world.device, precision):
                embedded = encoder(*to_device(batch.inputs, world.device))
            embeddings[torch.from_numpy(indices)] = embedded.float().cpu()[batch.row]
    return world.sum(embeddings)


def triplet_scores(embeddings: torch.Tensor, triplets: Triplets, distance: str, margin: float) -> dict[str, np.ndarray]:
    """The scores of T triplets, float64 [T] each.

    `loss`: hinge loss with `margin`. `correct`: 1 if the positive is closer than the negative. `positive`, `negative`:
    distances to the anchor. `active`: 1 if the loss is above 0.
    """
    positive, negative = triplet_distances(embeddings, torch.from_numpy(triplets.rows), distance)
    loss = hinge(positive, negative, margin)
    scores = {
        "loss": loss,
        "correct": positive < negative,
        "positive": positive,
        "negative": negative,
        "active": loss > 0,
    }
    return {name: score.double().numpy() for name, score in scores.items()}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode (no dropout) for the duration of the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _share(examples: Examples, shapes: Shapes, world: World) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Yield (example indices, shape) of the batches that this rank evaluates."""
    return islice(cut(examples.lengths, shapes), world.rank, None, world.size)


def _at_least(counts: np.ndarray, most: int) -> np.ndarray:
    """`counts` (ascending), with `most` appended if it is larger than all of them."""
    return counts if counts[-1] >= most else np.append(counts, most)
