"""The programs that the benchmarks compare. Each trains on the same lines and calls `clock.step` after every step."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import (
    AutoTokenizer,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from lyricbert.batches.examples import line_examples
from lyricbert.models.loading import load_masked_lm
from lyricbert.runtime.distributed import World, start_world
from lyricbert.songs.store import TRAIN, TokenStore
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.tasks.mlm import MaskedLMTask
from lyricbert.training.loop import Hook, StepResult
from lyricbert.training.loop import Trainer as Loop


@dataclass(frozen=True)
class Setting:
    """The settings that all contenders share.

    `batch_lines`: lines per step. `steps`: number of training steps. `precision`: bf16 or fp32. The learning rate rises
    to `lr` in the first `warmup_fraction` of the steps and falls linearly to 0.
    """

    store: TokenStore
    model: str
    batch_lines: int
    steps: int
    precision: str
    device: torch.device
    lr: float = 5e-5
    warmup_fraction: float = 0.06


@dataclass
class Clock:
    """Measures the time, lines and tokens of all steps after the first `warmup`.

    `seconds`: total time. `waited`: the part of it in which the step waited for data.
    """

    warmup: int = 10
    steps: int = 0
    lines: int = 0
    real_tokens: int = 0
    padded_tokens: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    _started: float = field(default_factory=time.perf_counter, repr=False)

    def step(self, lines: int, real_tokens: int, padded_tokens: int, waited: float = 0.0) -> None:
        """Record a step: its lines, its tokens without and with padding, and the seconds that it waited for data."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.steps += 1
        if self.steps > self.warmup:
            self.lines += lines
            self.real_tokens += real_tokens
            self.padded_tokens += padded_tokens
            self.seconds += now - self._started
            self.waited += waited
        self._started = now

    def pause(self) -> None:
        """Exclude the time since the last step from the measurement."""
        self._started = time.perf_counter()

    def batch(self, attention_mask: torch.Tensor) -> None:
        """Record a step on a batch with this attention mask: int64 [rows, width]."""
        self.step(len(attention_mask), int(attention_mask.sum()), attention_mask.numel())


def peak_gib() -> float:
    """Peak memory of this process in GiB: allocated on the GPU if there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class ClockHook(Hook):
    """Records lyricbert's steps in `clock`."""

    def __init__(self, clock: Clock):
        self._clock = clock

    def step(self, trainer: Loop, result: StepResult) -> None:
        self._clock.step(result.lines, result.real_tokens, result.padded_tokens, result.wait_seconds)


def lyricbert_loop(setting: Setting, clock: Clock) -> None:
    """lyricbert: the task and loop of `train_mlm.py`, in one process."""
    with start_world() as world:
        make_loop(setting, world).train([ClockHook(clock)])


def lyricbert_packed(setting: Setting, clock: Clock) -> None:
    """lyricbert with `--layout packed`."""
    with start_world() as world:
        make_loop(setting, world, layout="packed").train([ClockHook(clock)])


def lyricbert_compiled(setting: Setting, clock: Clock) -> None:
    """lyricbert with `--layout packed --compile`."""
    with start_world() as world:
        make_loop(setting, world, layout="packed", compile=True).train([ClockHook(clock)])


def make_loop(setting: Setting, world: World, **options: object) -> Loop:
    """The loop and task of `train_mlm.py`, with about `batch_lines` lines per step."""
    lengths = line_examples(setting.store, TRAIN).lengths
    config = MaskedLMConfig(
        max_steps=setting.steps,
        lr=setting.lr,
        warmup_fraction=setting.warmup_fraction,
        precision=setting.precision,
        tokens_per_batch=round(setting.batch_lines * lengths.mean()),
        global_micro_batches=1,
        **options,
    )
    model, _ = load_masked_lm(setting.model)
    return Loop(MaskedLMTask(model, config, setting.model, setting.store, world), config, world)


def hugging_face_trainer(setting: Setting, clock: Clock) -> BertForMaskedLM:
    """The Hugging Face `Trainer`, set up like run_mlm.py --line_by_line, with batches grouped by length.

    Returns the trained model.
    """

    class ClockCallback(TrainerCallback):
        def on_step_end(self, args: TrainingArguments, state: object, control: object, **kwargs: object) -> None:
            clock.batch(masks.pop(0))

    masks: list[torch.Tensor] = []
    collate = _collator(setting)

    def remember(rows: list[dict]) -> dict[str, torch.Tensor]:
        batch = collate(rows)
        masks.append(batch["attention_mask"])
        return batch

    arguments = TrainingArguments(
        output_dir="unused",
        max_steps=setting.steps,
        learning_rate=setting.lr,
        warmup_steps=round(setting.warmup_fraction * setting.steps),
        per_device_train_batch_size=setting.batch_lines,
        bf16=setting.precision == "bf16",
        use_cpu=setting.device.type == "cpu",
        train_sampling_strategy="group_by_length",
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    model = BertForMaskedLM.from_pretrained(setting.model)
    Trainer(
        model=model,
        args=arguments,
        train_dataset=Lines(setting.store),
        data_collator=remember,
        callbacks=[ClockCallback()],
    ).train()
    return model


def lightning_recipe(setting: Setting, clock: Clock) -> None:
    """The original recipe in PyTorch Lightning: sorted lines, masked once; MLM head on all positions; fp32; Adam."""
    import lightning

    class Recipe(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = BertForMaskedLM.from_pretrained(setting.model)

        def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
            return self.model(**batch).loss

        def on_train_batch_end(self, outputs: object, batch: dict[str, torch.Tensor], index: int) -> None:
            clock.batch(batch["attention_mask"])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=5e-5, eps=1e-4)

    lines, collate = Lines(setting.store), _collator(setting)
    order = np.argsort(lines.examples.lengths, kind="stable")
    starts = range(0, len(order), setting.batch_lines)
    batches = [collate([lines[i] for i in order[start : start + setting.batch_lines]]) for start in starts]
    lightning.Trainer(
        accelerator="gpu" if setting.device.type == "cuda" else "cpu",
        devices=1,
        max_steps=setting.steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    ).fit(Recipe(), DataLoader(batches, batch_size=None, shuffle=True))


CONTENDERS: dict[str, Callable[[Setting, Clock], object]] = {
    "lyricbert": lyricbert_loop,
    "lyricbert-packed": lyricbert_packed,
    "lyricbert-compiled": lyricbert_compiled,
    "trainer": hugging_face_trainer,
    "lightning": lightning_recipe,
}


class Lines(Dataset):
    """The training lines of a store as token ids, including special tokens."""

    def __init__(self, store: TokenStore):
        self.store = store
        self.examples = line_examples(store, TRAIN)
        self.tokenizer = AutoTokenizer.from_pretrained(store.tokenizer_path)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, list[int]]:
        line = self.examples.first_line[index]
        tokens = self.store.tokens[self.store.line_offsets[line] : self.store.line_offsets[line + 1]].tolist()
        return {"input_ids": [self.tokenizer.cls_token_id, *tokens, self.tokenizer.sep_token_id]}


def _collator(setting: Setting) -> DataCollatorForLanguageModeling:
    return DataCollatorForLanguageModeling(AutoTokenizer.from_pretrained(setting.store.tokenizer_path))
