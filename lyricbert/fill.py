"""Fill-in-the-blank predictions of one or more models, side by side.

python -m lyricbert.fill "lipstick stains on my [MASK]" --model RUN/model --model bert-base-uncased --gold sheets
python -m lyricbert.fill "every word of this line in turn" --mask-each --model RUN/model
"""

import json
import re
import sys
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from lyricbert.batches.batching import to_device
from lyricbert.config import option, parse
from lyricbert.errors import UserError, run_command
from lyricbert.evaluation.evaluate import evaluating, gold_ranks
from lyricbert.models.masked_lm import MaskedLM, load_masked_lm
from lyricbert.songs.tokenizer import load_tokenizer

_COLUMN = 34
_EACH_TOP = 3


@dataclass(frozen=True)
class FillConfig:
    """fill"""

    text: str = option("a line with one [MASK]; with --mask-each, a line without", metavar="TEXT")
    model: tuple[str, ...] = option("model directory or hub name; give it again for the next column")
    gold: str | None = option("the word that stood there; its rank is given in each model", None)
    top: int = option("how many predictions to show", 10, check="positive")
    mask_each: bool = option("mask every word of the line in turn", False)
    json: bool = option("print JSON instead of tables", False)


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


def main() -> None:
    config = parse(FillConfig, __doc__)
    if config.mask_each and config.gold is not None:
        raise UserError("--gold goes with one [MASK], not with --mask-each")
    if re.search(r"[\ud800-\udfff]", config.text):
        raise UserError("the text is not UTF-8; check the terminal's encoding")
    fillers = [load_filler(name) for name in config.model]
    for filler in fillers:
        if not filler.has_head:
            print(f"{filler.name} has no MLM head: its predictions are those of an untrained one", file=sys.stderr)
    if config.mask_each:
        result = fill_each(config.text, fillers)
        shown = format_each(result)
    else:
        result = fill_one(config.text, fillers, config.gold, config.top)
        shown = format_one(result)
    print(json.dumps(result, indent=2) if config.json else shown)


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
    return ids[0]


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


def format_one(result: dict) -> str:
    """The result of `fill_one` as a table, a column a model."""
    models = result["models"]
    lines = [result["text"], "    " + "".join(_cell(_tail(model["model"])) for model in models)]
    for place, row in enumerate(zip(*(model["predictions"] for model in models), strict=True), start=1):
        lines.append(f"{place:>3} " + "".join(_cell(f"{p['token']}  {p['probability']:.4f}") for p in row))
    if "gold" in result:
        lines.append(f"the word that stood there, {result['gold']}:")
        cells = (_cell(f"rank {m['gold']['rank']}  {m['gold']['probability']:.4f}") for m in models)
        lines.append("    " + "".join(cells))
    return "\n".join(line.rstrip() for line in lines)


def format_each(result: dict) -> str:
    """The result of `fill_each` as a table, a row a word, a column a model: rank, probability, best predictions."""
    lines = [result["text"], " " * 16 + "".join(_cell(_tail(name)) for name in result["models"])]
    for word in result["words"]:
        cells = (
            f"{word['pieces']} pieces, not ranked"
            if entry is None
            else f"{entry['rank']:>5} {entry['probability']:.3f}  {' '.join(p['token'] for p in entry['predictions'])}"
            for entry in word["models"]
        )
        lines.append(f"{word['word']:<16}" + "".join(_cell(cell) for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _cell(text: str) -> str:
    return f"{text:<{_COLUMN}}  "


def _tail(name: str) -> str:
    return name if len(name) <= _COLUMN else "..." + name[3 - _COLUMN :]


if __name__ == "__main__":
    run_command(main)
