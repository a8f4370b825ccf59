"""Fill-in-the-blank predictions of masked language models."""

from dataclasses import dataclass

import torch
from transformers import BatchEncoding, PreTrainedTokenizerFast

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
        """Logits, float32 [rows, vocabulary], at the only [MASK] of each row of `input_ids`, int64 [rows, width].

        Raises `UserError` if a row has more tokens than the model takes.
        """
        limit = self.model.bert.config.max_position_embeddings
        if input_ids.shape[1] > limit:
            raise UserError(
                f"the text has {input_ids.shape[1]} tokens, but {self.name} takes at most {limit}; shorten it"
            )
        positions = torch.nonzero(input_ids.flatten() == self.tokenizer.mask_token_id).squeeze(1)
        place = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        arguments = (input_ids, None, place, positions)
        with evaluating(self.model):
            device = next(self.model.parameters()).device
            return self.model.masked_logits(*to_device(arguments, device)).float().cpu()

    def predictions(self, logits: torch.Tensor, top: int) -> list[dict[str, object]]:
        """The `top` most probable tokens and their probabilities. `logits`: float32 [vocabulary]."""
        best = logits.topk(min(top, len(logits))).indices
        tokens = self.tokenizer.convert_ids_to_tokens(best.tolist())
        probabilities = logits.softmax(dim=0)[best].tolist()
        return [{"token": t, "probability": p} for t, p in zip(tokens, probabilities, strict=True)]

    def gold(self, logits: torch.Tensor, token: int) -> dict[str, object]:
        """The rank (from 1) and the probability of the token id `token`. `logits`: float32 [vocabulary]."""
        rank = gold_ranks(logits[None], torch.tensor([token])).item()
        return {"rank": rank, "probability": logits.softmax(dim=0)[token].item()}


def load_filler(name: str) -> Filler:
    """Load a model and its tokenizer, on the GPU if there is one. Raises `UserError`."""
    tokenizer = load_tokenizer(name)
    model, has_head = load_masked_lm(name)
    return Filler(name, has_head, model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)


def fill_one(text: str, fillers: list[Filler], gold: str | None, top: int) -> dict[str, object]:
    """Predict the [MASK] of `text` with each model. Raises `UserError` unless `text` has exactly one [MASK].

    `gold`: the original word, or None; its rank and probability are added. `top`: number of predictions of each model.
    """
    models = []
    for filler in fillers:
        ids = filler.tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
        blanks = int((ids == filler.tokenizer.mask_token_id).sum())
        if blanks != 1:
            mask = filler.tokenizer.mask_token
            raise UserError(f"the text has {mask} {blanks} times; write exactly one {mask}, or use --mask-each")
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
            f"--gold {word}: the tokenizer of {filler.name} splits it into {len(ids)} pieces ({' '.join(pieces)});"
            " one [MASK] stands for one piece, so give a word that is a single piece"
        )
    if ids[0] == filler.tokenizer.unk_token_id:
        raise UserError(f"--gold {word}: not in the vocabulary of {filler.name}; give another word")
    return int(ids[0])


def fill_each(text: str, fillers: list[Filler]) -> dict[str, object]:
    """Mask each word of `text` in turn. Returns the word's rank and the best predictions in each model.

    A model predicts a word only if its tokenizer has it as one piece. `pieces_by_model` holds the number of pieces for
    each model, `pieces` for the first model. Raises `UserError`.
    """
    encodings = [_encode_unmasked(text, filler) for filler in fillers]
    tokens = [_word_of_token(text, encoding) for encoding in encodings]
    spans = [(start, end) for start, end in _merge_overlapping(tokens) if any(map(str.isalnum, text[start:end]))]
    if not spans:
        raise UserError("the text has no word to mask; give a line with at least one word")
    positions = [
        [[token for token, (first, _) in of_token.items() if start <= first < end] for start, end in spans]
        for of_token in tokens
    ]
    columns = [
        _mask_each(encoding, found, filler)
        for encoding, found, filler in zip(encodings, positions, fillers, strict=True)
    ]
    words = []
    for number, (start, end) in enumerate(spans):
        pieces = [len(found[number]) for found in positions]
        entries = [column[number] for column in columns]
        words.append({"word": text[start:end], "pieces": pieces[0], "pieces_by_model": pieces, "models": entries})
    return {"text": text, "models": [filler.name for filler in fillers], "words": words}


def _encode_unmasked(text: str, filler: Filler) -> BatchEncoding:
    encoding: BatchEncoding = filler.tokenizer(text, verbose=False)
    if filler.tokenizer.mask_token_id in encoding["input_ids"]:
        raise UserError("--mask-each masks every word in turn; give the line without [MASK]")
    return encoding


def _word_of_token(text: str, encoding: BatchEncoding) -> dict[int, tuple[int, int]]:
    """Map each token position to the (start, end) of its word in `text`, without surrounding spaces."""
    words = {}
    for position, word in enumerate(encoding.word_ids()):
        if word is not None:
            start, end = encoding.word_to_chars(word)
            content = text[start:end]
            if content.strip():
                words[position] = (end - len(content.lstrip()), start + len(content.rstrip()))
    return words


def _merge_overlapping(tokens: list[dict[int, tuple[int, int]]]) -> list[tuple[int, int]]:
    """(start, end) of each word. Overlapping words of different tokenizers are merged.

    For example, one tokenizer has "don't", another "don", "'" and "t". The merged word is "don't".
    """
    words: list[tuple[int, int]] = []
    for start, end in sorted({span for of_token in tokens for span in of_token.values()}):
        if words and start < words[-1][1]:
            words[-1] = (words[-1][0], max(end, words[-1][1]))
        else:
            words.append((start, end))
    return words


def _mask_each(encoding: BatchEncoding, positions: list[list[int]], filler: Filler) -> list[dict[str, object] | None]:
    """The rank, probability and best predictions of each word. None for a word that is not one piece, or unknown."""
    ids = torch.tensor(encoding["input_ids"])
    ranked = [len(found) == 1 and ids[found[0]] != filler.tokenizer.unk_token_id for found in positions]
    single = [found[0] for found, is_ranked in zip(positions, ranked, strict=True) if is_ranked]
    masked = ids.repeat(len(single), 1)
    masked[torch.arange(len(single)), torch.tensor(single, dtype=torch.int64)] = filler.tokenizer.mask_token_id
    logits = iter(filler.logits(masked) if single else ())
    entries: list[dict[str, object] | None] = []
    for found, is_ranked in zip(positions, ranked, strict=True):
        if not is_ranked:
            entries.append(None)
            continue
        row = next(logits)
        entries.append({**filler.gold(row, int(ids[found[0]])), "predictions": filler.predictions(row, _EACH_TOP)})
    return entries
