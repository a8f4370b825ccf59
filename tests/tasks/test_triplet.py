"""The triplet task: its micro-batches and its held-out triplets."""

import dataclasses
import json
from itertools import permutations

import numpy as np
import pytest
import torch
from conftest import WORD_LIST, call

from lyricbert import prepare
from lyricbert.songs.store import open_store
from lyricbert.tasks.config import LOSSES, TripletConfig
from lyricbert.tasks.triplet import TripletTask

CONFIG = TripletConfig(max_length=64, tokens_per_batch=512, global_micro_batches=4)


@pytest.fixture
def task(store, model_dir, world):
    return TripletTask(CONFIG, str(model_dir), store, world)


def epoch(task, number):
    """(sections, micro-batch) of every micro-batch of an epoch."""
    steps = range(task.sampler.steps(number), task.sampler.steps(number + 1))
    return [(found, task.micro_batch(found, number)) for step in steps for found in task.sampler.micro_batches(step)]


def test_a_micro_batch_has_its_sections_once_and_triplets_of_them(task):
    for sections, batch in epoch(task, 0):
        songs, rows, section_row = batch.inputs[:3]
        if len(sections) == 0:
            continue
        assert songs.tolist() == task.training.song[sections].tolist()
        assert len(torch.unique(section_row)) == len(sections)
        assert np.array_equal(batch.examples, task.training.sections.first_line[sections])
        assert batch.real_tokens == task.training.sections.lengths[sections].sum()
        anchor, positive, negative = rows
        assert torch.equal(songs[anchor], songs[positive])
        assert (anchor != positive).all()
        assert (songs[anchor] != songs[negative]).all()
        assert batch.terms == batch.triplets == rows.shape[1] > 0


def test_each_section_is_an_anchor_once_in_an_epoch_and_hardly_a_token_is_padding(task):
    batches = epoch(task, 1)
    anchors = np.concatenate([sections[batch.inputs[1][0]] for sections, batch in batches if len(sections)])
    assert sorted(anchors) == list(range(len(task.training.song)))
    assert sum(batch.real_tokens for _, batch in batches) > 0.95 * sum(batch.padded_tokens for _, batch in batches)


def test_triplets_change_from_epoch_to_epoch_but_not_with_the_number_of_ranks(task, store, model_dir, world):
    def negatives(task, number):
        pairs = []
        for sections, batch in epoch(task, number):
            if len(sections):
                anchor, _, negative = sections[batch.inputs[1]]
                pairs += zip(anchor.tolist(), negative.tolist(), strict=True)
        return dict(pairs)

    sections = max(task.sampler.micro_batches(0), key=len)
    rows, later = (task.micro_batch(sections, number).inputs[1] for number in (0, 1))
    assert not torch.equal(rows, later)
    first = negatives(task, 0)
    assert first == negatives(TripletTask(CONFIG, str(model_dir), store, world), 0)
    assert first != negatives(task, 1)
    assert first != negatives(TripletTask(dataclasses.replace(CONFIG, seed=1), str(model_dir), store, world), 0)


@pytest.mark.parametrize("loss", LOSSES)
def test_an_empty_micro_batch_changes_nothing(store, model_dir, world, loss):
    """The last step of an epoch is filled up with them, because DDP needs a gradient from every process."""
    task = TripletTask(dataclasses.replace(CONFIG, loss=loss), str(model_dir), store, world)
    batch = task.micro_batch(np.zeros(0, np.int64), epoch=0)
    assert (batch.terms, batch.triplets, batch.lines, batch.real_tokens, len(batch.examples)) == (0, 0, 0, 0, 0)
    task.module(*batch.inputs).backward()
    for name, parameter in task.module.named_parameters():
        assert parameter.grad is not None, name
        assert not parameter.grad.any(), name


def test_the_number_of_held_out_triplets_does_not_change_the_batches_of_training(task, store, model_dir, world):
    few = TripletTask(dataclasses.replace(CONFIG, eval_triplets=1), str(model_dir), store, world)
    for (_, one), (_, other) in zip(epoch(task, 0), epoch(few, 0), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True))


def test_held_out_sections_may_be_longer_than_a_micro_batch(tmp_path, model_dir, world):
    songs = [{"lyrics": f"{first} {second}\n\n{second} rain"} for first, second in permutations(WORD_LIST[:4], 2)]
    songs += [{"lyrics": f"{word} " * 25 + f"\n\n{word} stone"} for word in WORD_LIST[10:22]]
    (tmp_path / "songs.jsonl").write_text("".join(json.dumps(song) + "\n" for song in songs))
    flags = ("--tokenizer", model_dir, "--near-duplicates", "keep", "--val-fraction", 0.5)
    call(prepare.main, tmp_path / "songs.jsonl", "--out", tmp_path / "store", *flags)
    store = open_store(tmp_path / "store")
    tokens_of_song = np.diff(store.line_offsets[store.section_offsets[store.song_offsets]])
    store = dataclasses.replace(store, song_split=(tokens_of_song > 20).astype(np.uint8))
    config = dataclasses.replace(CONFIG, tokens_per_batch=20, global_micro_batches=1)
    task = TripletTask(config, str(model_dir), store, world)
    assert task.validation.sections.lengths.max() > 20
    assert np.isfinite(task.scores()["loss"]).all()


def test_the_songs_that_are_left_out_are_counted(task, store, model_dir, world):
    assert "left out" not in task.describe_songs()
    short = TripletTask(dataclasses.replace(CONFIG, max_length=8, max_songs=3), str(model_dir), store, world)
    assert f"training on 3 of {short.training.all_songs} songs" in short.describe_songs()
    assert f"left out {short.training.too_long + short.validation.too_long} sections" in short.describe_songs()
    assert short.training.too_long > 0
    assert short.training.all_songs + short.training.too_few == (store.song_split == 0).sum()


def test_an_evaluation_of_few_triplets_has_their_scores_of_the_full_evaluation(task, store, model_dir, world):
    few = TripletTask(dataclasses.replace(CONFIG, eval_triplets=9), str(model_dir), store, world)
    assert (few.validation.rows.shape[1], few.validation.all_triplets) == (9, task.validation.rows.shape[1])

    def scores_by_lines(task):
        lines = task.validation.sections.first_line[task.validation.rows].T
        return dict(zip(map(tuple, lines.tolist()), task.scores()["loss"], strict=True))

    every = scores_by_lines(task)
    for lines, loss in scores_by_lines(few).items():
        assert loss == pytest.approx(every[lines], abs=1e-2)  # in bf16, the shape of a batch matters a little
