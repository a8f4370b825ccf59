"""The trainers that `triplet_throughput.py` compares. Both train on the same sections, with the same loss."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import datasets
import numpy as np
import torch
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss
from transformers import TrainerCallback

from lyricbert.batches.batching import make_batch
from lyricbert.batches.triplets import LabelledSections, draw_triplets, labelled_sections
from lyricbert.hashing import derive_key
from lyricbert.runtime.distributed import start_world
from lyricbert.songs.store import TRAIN, TokenStore
from lyricbert.songs.tokenizer import load_tokenizer, vocabulary
from lyricbert.tasks.config import TripletConfig
from lyricbert.tasks.triplet import TripletTask
from lyricbert.training.loop import Hook, StepResult, Trainer

Weights = Mapping[str, torch.Tensor]

COLUMNS = ("anchor", "positive", "negative")
GROUPED_BATCHES = 32


@dataclass(frozen=True)
class Setting:
    """What the contenders share. `batch_triplets`: number of triplets in a step of sentence-transformers."""

    store: TokenStore
    model: str
    config: TripletConfig
    batch_triplets: int
    device: torch.device


@dataclass
class Record:
    """Time and size of each step: (seconds, triplets, tokens without padding, tokens with padding)."""

    steps: list[tuple[float, int, int, int]] = field(default_factory=list)
    _started: float = field(default_factory=time.perf_counter, repr=False)

    def step(self, triplets: int, real_tokens: int, padded_tokens: int) -> None:
        """Record a step that has just ended."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.steps.append((now - self._started, triplets, real_tokens, padded_tokens))
        self._started = now


def lyricbert(setting: Setting, record: Record) -> Weights:
    """The task and loop of `train_triplet.py`, in one process. Returns the weights of the trained encoder."""

    class RecordHook(Hook):
        def step(self, trainer: Trainer, result: StepResult) -> None:
            record.step(result.triplets, result.real_tokens, result.padded_tokens)

    with start_world() as world:
        task = TripletTask(setting.config, setting.model, setting.store, world)
        Trainer(task, setting.config, world).train([RecordHook()])
        return task.module.encoder.bert.state_dict()


def lyricbert_4096(setting: Setting, record: Record) -> Weights:
    """The same with one micro-batch of 4,096 tokens in a step instead of four of 1,024, as in `compare`."""
    config = replace(setting.config, tokens_per_batch=4096, global_micro_batches=1)
    return lyricbert(replace(setting, config=config), record)


def sentence_transformers(setting: Setting, record: Record) -> Weights:
    """The trainer of sentence-transformers, with triplets of similar length in a batch."""
    return _train_sentence_transformer(setting, record, grouped=True)


def sentence_transformers_random(setting: Setting, record: Record) -> Weights:
    """The trainer of sentence-transformers with its own batch sampler, which shuffles the triplets."""
    return _train_sentence_transformer(setting, record, grouped=False)


CONTENDERS = {
    "lyricbert": lyricbert,
    "lyricbert-4096": lyricbert_4096,
    "sentence-transformers": sentence_transformers,
    "sentence-transformers-random": sentence_transformers_random,
}


def held_out_metrics(weights: Weights, setting: Setting) -> dict[str, float]:
    """The held-out metrics of an encoder with these weights, as lyricbert calculates them."""
    with start_world() as world:
        task = TripletTask(setting.config, setting.model, setting.store, world)
        bert = task.module.encoder.bert
        bert.load_state_dict({name: weights[name] for name in bert.state_dict()})
        return {name: float(value) for name, value in task.evaluate().items()}


def tokens_per_triplet(setting: Setting, contender: str) -> float:
    """The mean number of tokens, without padding, that the contender encodes for a triplet of an epoch."""
    labelled = training_sections(setting)
    lengths = labelled.sections.lengths
    # lyricbert encodes each section once and makes it the anchor of one triplet.
    return float(
        lengths.mean() if contender.startswith("lyricbert") else lengths[triplet_rows(labelled, setting)].sum(0).mean()
    )


def training_sections(setting: Setting) -> LabelledSections:
    """The sections that lyricbert trains on with this setting."""
    config = setting.config
    return labelled_sections(
        setting.store, TRAIN, config.max_length, derive_key("triplets", config.seed), config.max_songs
    )


def triplet_rows(labelled: LabelledSections, setting: Setting) -> np.ndarray:
    """int64 [3, T]: a triplet for each section, as indices into `labelled.sections`."""
    return draw_triplets(labelled.song, np.arange(len(labelled.song)), derive_key("triplets", setting.config.seed, 0))


def _train_sentence_transformer(setting: Setting, record: Record, grouped: bool) -> Weights:
    labelled, config = training_sections(setting), setting.config
    rows = triplet_rows(labelled, setting)
    collator = _Collator(setting, labelled)

    class RecordCallback(TrainerCallback):
        def on_step_end(self, args: object, state: object, control: object, **kwargs: object) -> None:
            record.step(*collator.sizes.pop(0))

    def by_length(dataset: datasets.Dataset, **options: object) -> DefaultBatchSampler:
        return _LengthSampler(labelled.sections.lengths[rows], dataset, **options)

    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(setting.store.path.parent),  # a temporary folder, in which nothing is saved
        max_steps=config.max_steps or -1,
        num_train_epochs=config.epochs,
        learning_rate=config.lr,
        warmup_steps=config.warmup_fraction,
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip,
        per_device_train_batch_size=setting.batch_triplets,
        bf16=True,
        use_cpu=setting.device.type == "cpu",
        seed=config.seed,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **({"batch_sampler": by_length} if grouped else {}),
    )
    model = SentenceTransformer(setting.model, device=setting.device.type)
    SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(dict(zip(COLUMNS, rows, strict=True))),
        loss=TripletLoss(model, TripletDistanceMetric.COSINE, config.margin),
        data_collator=collator,
        callbacks=[RecordCallback()],
    ).train()
    return model[0].auto_model.state_dict()


class _Collator:
    """Makes the batch of some triplets of section indices: the token ids that lyricbert trains on.

    `sizes`: (triplets, tokens without padding, tokens with padding) of each batch whose step has not ended.
    """

    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, setting: Setting, labelled: LabelledSections):
        self.sizes: list[tuple[int, int, int]] = []
        self._sections = labelled.sections
        self._vocabulary = vocabulary(load_tokenizer(setting.store.tokenizer_path))

    def __call__(self, triplets: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        indices = [np.array([triplet[column] for triplet in triplets])[:, None] for column in COLUMNS]
        batches = [make_batch(self._sections, section, self._vocabulary) for section in indices]
        anchor, positive, negative = (batch.input_ids.shape[1] for batch in batches)
        # The loss encodes the anchors by themselves, and the positives and negatives in one batch.
        padded_tokens = len(triplets) * (anchor + 2 * max(positive, negative))
        self.sizes.append((len(triplets), sum(batch.real_tokens for batch in batches), padded_tokens))
        features = {}
        for column, batch in zip(COLUMNS, batches, strict=True):
            features[f"{column}_input_ids"] = batch.input_ids
            features[f"{column}_attention_mask"] = batch.attention_mask
        return features


class _LengthSampler(DefaultBatchSampler):
    """Batches of triplets of similar length, in random order.

    Triplets are sorted by the longer of positive and negative, which are encoded together. Within the triplets of
    `GROUPED_BATCHES` batches they are then sorted by the anchor. `lengths`: int64 [3, T], in tokens.
    """

    def __init__(self, lengths: np.ndarray, dataset: datasets.Dataset, **options: object):
        super().__init__(dataset, **options)
        self._lengths = lengths

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, self.epoch])
        anchor, others = self._lengths[0], self._lengths[1:].max(axis=0)
        order = random.permutation(len(anchor))
        order = order[np.argsort(others[order], kind="stable")]
        group = self.batch_size * GROUPED_BATCHES
        groups = [order[start : start + group] for start in range(0, len(order), group)]
        order = np.concatenate([part[np.argsort(anchor[part], kind="stable")] for part in groups])
        batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        for number in random.permutation(len(batches)):
            yield batches[number].tolist()
