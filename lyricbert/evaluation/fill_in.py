"""Fill-in-the-blank predictions of masked language models."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from lyricbert.batches.batching import to_device
from lyricbert.errors import UserError
from lyricbert.evaluation.evaluate import evaluating, gold_ranks
from lyricbert.models.loading import load_masked_lm
from lyricbert.models.masked_lm import MaskedLM
from lyricbert.songs.tokenizer import load_tokenizer

_EACH_TOP = 3


@dataclass(frozen=True)
class Filler:
    """A masked language model with its tokenizer, ready to predict."""

    name: str
    has_head: bool
    model: MaskedLM
    tokenizer: PreTrainedTokenizerFast

    @torch.no_grad()
    def logits(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Logits float32 [rows, vocabulary] at the one [MASK] of each row; `input_ids` int64 [rows, width]."""
        limit = self.model.bert.config.max_position_embeddings
        if input_ids.shape[1] > limit:
            raise UserError(f"the text has {input_ids.shape[1]} tokens, {self.name} takes {limit}; shorten it")
        positions = torch.nonzero(input_ids.flatten() == self.tokenizer.mask_token_id).squeeze(1)
        place = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        arguments = (input_ids, None, place, positions)
        with evaluating(self.model):
            device = next(self.model.parameters()).device
            return self.model.masked_logits(*to_device(arguments, device)).float().cpu()

    def predictions(self, logits: torch.Tensor, top: int) -> list[dict[str, object]]:
        """The `top` best tokens of logits float32 [vocabulary], with their probabilities."""
        best = logits.topk(min(top, len(logits))).indices
        tokens = self.tokenizer.convert_ids_to_tokens(best.tolist())
        probabilities = logits.softmax(dim=0)[best].tolist()
        return [{"token": t, "probability": p} for t, p in zip(tokens, probabilities, strict=True)]

    def gold(self, logits: torch.Tensor, token: int) -> dict[str, object]:
        """The rank from 1 and the probability of the token id `token` in logits float32 [vocabulary]."""
        rank = gold_ranks(logits[None], torch.tensor([token])).item()
        return {"rank": rank, "probability": logits.softmax(dim=0)[token].item()}


def load_filler(name: str) -> Filler:
    """Load a model to predict with, on the GPU if there is one. Raises `UserError`."""
    tokenizer = load_tokenizer(name)
    model, has_head = load_masked_lm(name)
    return Filler(name, has_head, model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)


def fill_one(text: str, fillers: list[Filler], gold: str | None, top: int) -> dict[str, object]:
    """Predictions of each model for the one [MASK] of `text`. Raises `UserError`."""
    models = []
    for filler in fillers:
        ids = filler.tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
        blanks = int((ids == filler.tokenizer.mask_token_id).sum())
        if blanks != 1:
            raise UserError(f"the text has {blanks} times {filler.tokenizer.mask_token}; it needs one (or --mask-each)")
        gold_id = None if gold is None else _single_token(gold, filler)
        logits = filler.logits(ids)[0]
        entry = {"model": filler.name, "mlm_head": filler.has_head, "predictions": filler.predictions(logits, top)}
        models.append(entry if gold_id is None else {**entry, "gold": filler.gold(logits, gold_id)})
    return {"text": text, **({} if gold is None else {"gold": gold}), "models": models}


def _single_token(word: str, filler: Filler) -> int:
    ids = filler.tokenizer(word, add_special_tokens=False)["input_ids"]
    pieces = filler.tokenizer.convert_ids_to_tokens(ids)
    if len(ids) != 1:
        raise UserError(
            f"--gold {word}: {len(ids)} pieces in the vocabulary of {filler.name} ({' '.join(pieces)});"
            " one [MASK] stands for one piece, so give a word that is a single one"
        )
    if ids[0] == filler.tokenizer.unk_token_id:
        raise UserError(f"--gold {word}: not in the vocabulary of {filler.name}; give another word")
    return int(ids[0])


def fill_each(text: str, fillers: list[Filler]) -> dict[str, object]:
    """Each word of `text` masked in turn: the rank of the word itself, and the best predictions, in each model.

    A word of several pieces is listed with their number and no prediction. Raises `UserError`.
    """
    tables = [_mask_each(text, filler) for filler in fillers]
    words = []
    for columns in zip(*tables, strict=True):
        word, pieces, _ = columns[0]
        words.append({"word": word, "pieces": pieces, "models": [entry for _, _, entry in columns]})
    return {"text": text, "models": [filler.name for filler in fillers], "words": words}


def _mask_each(text: str, filler: Filler) -> list[tuple[str, int, dict[str, object] | None]]:
    """(word, pieces, its gold entry and predictions, None for several pieces) of every word of letters or digits."""
    encoding = filler.tokenizer(text, verbose=False)
    ids = torch.tensor(encoding["input_ids"])
    if filler.tokenizer.mask_token_id in encoding["input_ids"]:
        raise UserError("--mask-each masks every word in turn; give the line without [MASK]")
    positions: dict[int, list[int]] = {}
    for position, word in enumerate(encoding.word_ids()):
        if word is not None:
            positions.setdefault(word, []).append(position)
    words = [(encoding.word_to_chars(word), found) for word, found in positions.items()]
    words = [(text[span.start : span.end], found) for span, found in words]
    words = [(word, found) for word, found in words if any(letter.isalnum() for letter in word)]
    if not words:
        raise UserError("the text has no word to mask")
    single = [found[0] for _, found in words if len(found) == 1]
    masked = ids.repeat(len(single), 1)
    masked[torch.arange(len(single)), torch.tensor(single, dtype=torch.int64)] = filler.tokenizer.mask_token_id
    logits = iter(filler.logits(masked) if single else ())
    rows = []
    for word, found in words:
        entry = None
        if len(found) == 1:
            row = next(logits)
            entry = {**filler.gold(row, int(ids[found[0]])), "predictions": filler.predictions(row, _EACH_TOP)}
        rows.append((word, len(found), entry))
    return rows
