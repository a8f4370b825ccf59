"""Masked-language-model (MLM) training, as a task for the loop."""

from pathlib import Path
from typing import cast

import numpy as np

from lyricbert.batches.batching import MicroBatch, make_batch
from lyricbert.batches.examples import unit_examples
from lyricbert.batches.masking import IGNORE, MaskingTables, mask_tokens, target_positions, training_key
from lyricbert.batches.packing import PackedSampler
from lyricbert.batches.sampler import LengthBucketSampler, resolve_micro_batches
from lyricbert.batches.shapes import MOST_SHAPES, Shapes, shapes_of, target_counts
from lyricbert.evaluation.evaluate import MaskedLMEvaluator, sample_examples
from lyricbert.models.loading import load_tokenizer_for
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.runtime.distributed import World
from lyricbert.runtime.precision import resolve_precision
from lyricbert.songs.store import TokenStore
from lyricbert.songs.tokenizer import vocabulary
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.training.task import HeadWarmup

_PACKED_WIDTH = 128
_TABLE_LINES = 8
_TABLE_TOP = 5


class MaskedLMTask:
    """Trains a masked language model on the lines or sections of a store."""

    name = "mlm"
    best_metric = "eval/loss"

    def __init__(self, model: MaskedLM, config: MaskedLMConfig, model_name: str, store: TokenStore, world: World):
        """`model_name`: directory or hub name of `model` and its tokenizer.

        Raises `UserError` if store and model do not match.
        """
        self.module = model.to(world.device)
        if config.compile:
            model.compile_parts()
        self._config = config
        self._tokenizer = load_tokenizer_for(model_name, model.bert.config.vocab_size, store)
        self._vocabulary = vocabulary(self._tokenizer)
        self._tables = MaskingTables.of(self._vocabulary)
        self._examples, validation = unit_examples(store, config.unit, model.bert.config.max_position_embeddings)
        lengths = self._examples.lengths
        micro_batches = resolve_micro_batches(config.global_micro_batches, world.size, config.fewest_micro_batches)
        budget = (config.tokens_per_batch, micro_batches, config.seed)
        if config.layout == "packed":
            width = max(_PACKED_WIDTH, int(lengths.max()))
            self.sampler: PackedSampler | LengthBucketSampler = PackedSampler(lengths, width, *budget)
        else:
            self.sampler = LengthBucketSampler(lengths, *budget)
        self._target_counts = target_counts(config.tokens_per_batch, config.mask_rate)
        held_out = sample_examples(validation, config.eval_examples)
        self._evaluator = MaskedLMEvaluator(
            held_out,
            self._vocabulary,
            world,
            resolve_precision(config.precision, world.device),
            self._evaluation_shapes(held_out.lengths),
            self._target_counts,
        )
        self._table_rows = np.unique(np.linspace(0, len(held_out) - 1, _TABLE_LINES, dtype=np.int64))

    @property
    def head_warmup(self) -> HeadWarmup:
        """Freezes the encoder while the head is trained alone."""
        parameters = self.module.encoder_parameters()
        return HeadWarmup(parameters, self._config.head_warmup_steps, self._config.head_warmup_lr)

    def _evaluation_shapes(self, lengths: np.ndarray) -> Shapes:
        """The shapes of training, or other shapes if training packs several examples into a row."""
        budget = self._config.tokens_per_batch
        if isinstance(self.sampler, LengthBucketSampler):
            return self.sampler.shapes.covering(int(lengths.max()), budget)
        return shapes_of(lengths, budget, MOST_SHAPES - 1)

    def _shape(self, indices: np.ndarray) -> tuple[int, int]:
        """(rows, width) of the training micro-batch with these `indices`, as in `micro_batch`."""
        if isinstance(self.sampler, PackedSampler):
            return self.sampler.shape
        longest = int(self._examples.lengths[indices].max())
        return len(indices), self.sampler.width(len(indices), longest)

    def micro_batch(self, indices: np.ndarray, epoch: int) -> MicroBatch:
        batch = make_batch(self._examples, indices, self._vocabulary, self._shape(indices))
        key = training_key(self._config.seed, epoch, self._config.masking)
        inputs, targets = mask_tokens(batch, self._tables, self._config.mask_rate, key)
        positions, gold = target_positions(targets, self._target_counts)
        return MicroBatch(
            inputs=(inputs, batch.needed_mask, batch.position_ids, positions, gold),
            examples=self._examples.first_line[indices[indices >= 0]].astype(np.int64),
            terms=int((gold != IGNORE).sum()),
            lines=batch.lines,
            real_tokens=batch.real_tokens,
            padded_tokens=inputs.numel(),
        )

    def evaluate(self) -> dict[str, float]:
        loss, masked, correct = self._evaluator.losses(self.module).sum(axis=0)
        return {"eval/loss": loss / masked, "eval/accuracy": correct / masked}

    def prediction_table(self) -> str:
        rows = [f"| line | gold | top {_TABLE_TOP} |", "|---|---|---|"]
        for ids, gold, top in self._evaluator.predictions(self.module, self._table_rows, _TABLE_TOP):
            line = cast(str, self._tokenizer.decode(ids[1:-1]))  # a str, because the ids are one list
            words = self._tokenizer.convert_ids_to_tokens([gold, *top])
            cells = (line, words[0], ", ".join(words[1:]))
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(rows)

    def save(self, directory: Path) -> None:
        self.module.save(directory, self._tokenizer)
