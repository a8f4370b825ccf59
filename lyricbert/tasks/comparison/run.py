"""Runs a comparison: measures the pieces that OUT does not have yet, and makes the report of all pieces."""

import dataclasses
import hashlib
import json
import socket
import sys
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from lyricbert.errors import UserError, clean_up_at_signal
from lyricbert.models.history import read_history
from lyricbert.models.identity import identify_model
from lyricbert.runtime.distributed import World
from lyricbert.runtime.independent import work_independently
from lyricbert.runtime.precision import resolve_precision
from lyricbert.songs.store import TokenStore
from lyricbert.tasks.comparison.directory import check_directory, hold_directory, wait_until_visible, write_report
from lyricbert.tasks.comparison.identity import Identity, identify
from lyricbert.tasks.comparison.measure import Measurer
from lyricbert.tasks.comparison.pieces import Piece, pieces
from lyricbert.tasks.comparison.progress import Progress
from lyricbert.tasks.comparison.results import Damaged, Result, ResultStore
from lyricbert.tasks.comparison.summary import make_report
from lyricbert.tasks.config import CompareConfig


def compare_models(config: CompareConfig, store: TokenStore, world: World) -> dict[str, Any] | None:
    """Write the report of a comparison into OUT. Returns its content on rank 0, None on the other ranks.

    The ranks share the pieces out. Raises `UserError`: before any work if a model was trained on held-out songs of the
    store, if a model, the store and the settings do not fit together, or if OUT holds something else.
    """
    wanted = pieces(config)
    with world.raise_on_all_ranks():
        _refuse_seen_songs(config, store)
        identity = identify(config, store, resolve_precision(config.precision, world.device))
        _refuse_same_models(config, identity)
        results = ResultStore(config.out, identity)
        found = _find_results(results) if world.is_main else set()
    with world.raise_on_all_ranks():
        _refuse_another_identity(identity, world)
    missing = _missing_on_main(found, wanted, world)
    with world.raise_on_all_ranks():  # without missing pieces, no model is loaded
        measurer = Measurer(config, store, world.device) if missing else None
    report = None
    with ExitStack() as stack:
        stack.enter_context(clean_up_at_signal(_say_how_to_continue))
        with world.raise_on_all_ranks():
            if world.is_main:
                stack.enter_context(hold_directory(config, results, found))
        if measurer is not None:
            _measure(missing, measurer, results, world)
        with world.raise_on_all_ranks():
            if world.is_main:
                report = make_report(config, identity, {piece: _read(results, piece) for piece in wanted})
                write_report(config.out, report)
    return report


def _refuse_seen_songs(config: CompareConfig, store: TokenStore) -> None:
    for side, names in config.models.items():
        for name in names:
            problem = read_history(name).describe_seen(store)
            if problem is not None:
                raise UserError(f"--{side} {name} {problem}")


def _refuse_same_models(config: CompareConfig, identity: Identity) -> None:
    """Raise `UserError` if a side has the same model twice: it would count as two samples of the recipe."""
    for side, identities in identity.models.items():
        for number, model in enumerate(identities):
            first = identities.index(model)
            if first < number:
                names = config.models[side]
                raise UserError(f"--{side} {names[number]}: the same model as {names[first]}; give each model once")


def _find_results(results: ResultStore) -> set[str]:
    """The names of the pieces with a valid result. Prints a warning for each damaged result. Raises `UserError`."""
    check_directory(results.out)
    names, warnings = results.stored_names()
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    return names


def _refuse_another_identity(identity: Identity, world: World) -> None:
    """Raise `UserError` if this rank sees another store or model, or runs in another precision, than rank 0."""
    digest = int.from_bytes(
        hashlib.sha256(json.dumps(dataclasses.asdict(identity), sort_keys=True).encode()).digest()[:7]
    )
    of_main = int(world.sum(torch.tensor(digest if world.is_main else 0)))
    if digest != of_main:
        raise UserError(
            f"rank {world.rank} on {socket.gethostname()} has another store, model or precision than rank 0; give"
            " directories that all nodes share, and --precision"
        )


def _missing_on_main(found: set[str], wanted: list[Piece], world: World) -> list[Piece]:
    """The pieces that rank 0 has not found, on every rank. Other nodes may see files late."""
    flags = [world.is_main and piece.name not in found for piece in wanted]
    is_missing = world.sum(torch.tensor(flags, dtype=torch.int64))
    return [piece for piece, flag in zip(wanted, is_missing.tolist(), strict=True) if flag]


def _measure(missing: list[Piece], measurer: Measurer, results: ResultStore, world: World) -> None:
    """Measure and store the pieces of this rank, while the other ranks measure theirs."""
    own = missing[world.rank :: world.size]
    trainings = sum(piece.seed is not None for piece in own)
    with work_independently(world) as has_failed_elsewhere, Progress(trainings, world) as progress:
        wait_until_visible(results)
        for piece in own:
            if has_failed_elsewhere():
                break
            progress.begin(piece)
            result = measurer.measure(piece, [progress])
            _refuse_diverged(piece, result)
            _refuse_changed_model(piece, measurer.name_of(piece), results)
            results.write(piece, result)
            progress.end(piece, result)


def _refuse_diverged(piece: Piece, result: Result) -> None:
    """Raise `UserError` if a metric is not finite."""
    if not all(np.isfinite(sums.value).all() for sums in result.figures.values()):
        reason = "the model is damaged" if piece.seed is None else "the training diverged; lower --lr"
        raise UserError(f"{piece.name}: its metrics are not finite, because {reason}")


def _refuse_changed_model(piece: Piece, name: str, results: ResultStore) -> None:
    """Raise `UserError` if the model is not the one that the command began with, and that its results name."""
    if identify_model(name) != results.identity.of_piece(piece)["model"]:
        raise UserError(
            f"--{piece.side} {name}: its files changed during the comparison; run compare with another --out"
        )


def _read(results: ResultStore, piece: Piece) -> Result:
    try:
        return results.read(piece)
    except Damaged as damaged:
        raise UserError(f"{damaged}: missing or damaged; run the same command again") from None


def _say_how_to_continue() -> str:
    return "Finished trainings are kept. Run the same command to continue."
