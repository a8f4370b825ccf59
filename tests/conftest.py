"""Shared material: made-up songs, a tiny BERT and its tokenizer made on the spot, and a store prepared from them."""

import json
import os
import random
import resource
import signal
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from forked import PATIENCE, ForkedCommand
from forked import start as start
from forked import torchrun as torchrun
from slurm_cluster import SlurmCluster

if TYPE_CHECKING:
    from transformers import BertTokenizer, PreTrainedModel

    from lyricbert.runtime.distributed import World

ROOT = Path(__file__).parent.parent

WORDS = """
night light moon rain road home river fire cold gold heart start dance glass blue silver city window train morning
summer winter shadow dream stone ocean bridge letter whisper thunder garden mirror candle velvet i you we they my your
the a on in under over through with without never always again tonight slowly run fall burn hold call wait leave stay
turn break sing cry
"""
WORD_LIST = WORDS.split()


def pytest_configure(config: pytest.Config) -> None:
    """Set what the tests and the commands that they start inherit.

    torch and transformers read these variables when they are imported, so this file imports them inside functions.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    # On a busy machine two threads of one small operation wait for each other for most of the time.
    os.environ["OMP_NUM_THREADS"] = "1"
    # Tests start up to four processes, which a machine with one GPU refuses. `pytest -m gpu` is a process of its own.
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left with one of them at the end."""
    longest = (
        "test_slurm",
        "test_quickstart",
        "test_kills",
        "test_slurm_commands",
        "test_slurm_compare",
        "test_fast_paths",
    )
    items.sort(key=lambda item: longest.index(item.path.stem) if item.path.stem in longest else len(longest))


def make_songs(count: int, seed: int) -> list[dict[str, str]]:
    """Made-up songs of three to five sections, each fond of a few words; some share a line, some repeat a chorus."""
    source = random.Random(seed)

    def line(favourites: list[str]) -> str:
        words = source.choices(favourites if source.random() < 0.7 else WORD_LIST, k=source.randint(2, 9))
        return " ".join(words).capitalize() + source.choice(["", ",", "!"])

    shared = [line(WORD_LIST) for _ in range(3)]
    songs = []
    for number in range(count):
        favourites = source.sample(WORD_LIST, 10)
        sections = [[line(favourites) for _ in range(source.randint(2, 5))] for _ in range(source.randint(3, 5))]
        sections[0][0] = shared[number % 3]
        sections.append(sections[1])
        lyrics = "\n\n".join("\n".join(section) for section in sections)
        songs.append({"title": f"Song {number}", "artist": "The Tests", "lyrics": lyrics})
    return songs


@pytest.fixture(autouse=True)
def signal_handlers() -> Iterator[None]:
    """Those of pytest, which `run_command` replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """A SLURM cluster of two nodes for the tests of one file."""
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def songs_file(work: Path) -> Path:
    path = work / "songs.jsonl"
    path.write_text("".join(json.dumps(song) + "\n" for song in make_songs(60, seed=1)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tokenizer(work: Path) -> "BertTokenizer":
    from transformers import BertTokenizer

    letters = list(string.ascii_lowercase)
    tokens = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *WORD_LIST,
        "!",
        ",",
        "'",
        *letters,
        *(f"##{x}" for x in letters),
    ]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return BertTokenizer(vocab=vocabulary, model_max_length=64)


def make_model(
    directory: Path, kind: "type[PreTrainedModel]", tokenizer: "BertTokenizer", seed: int = 0, positions: int = 64
) -> Path:
    """Save a tiny, randomly initialised BERT of class `kind` with its tokenizer."""
    import torch
    from transformers import BertConfig

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
    )
    kind(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def model_dir(work: Path, tokenizer: "BertTokenizer") -> Path:
    """A tiny BERT with an MLM head."""
    from transformers import BertForMaskedLM

    return make_model(work / "model", BertForMaskedLM, tokenizer)


@pytest.fixture(scope="session")
def encoder_dir(work: Path, tokenizer: "BertTokenizer") -> Path:
    """A tiny BERT without an MLM head."""
    from transformers import BertModel

    return make_model(work / "encoder", BertModel, tokenizer, seed=1)


@pytest.fixture(scope="session")
def store_dir(work: Path, songs_file: Path, model_dir: Path) -> Path:
    from lyricbert import prepare

    split = ("--val-fraction", 0.2, "--seed", 18)  # holds out 12 of the 60 songs
    call(prepare.main, songs_file, "--out", work / "store", "--tokenizer", model_dir, *split)
    return work / "store"


@pytest.fixture
def store(store_dir: Path):
    from lyricbert.songs.store import open_store

    return open_store(store_dir)


@pytest.fixture
def world() -> "World":
    import torch

    from lyricbert.runtime.distributed import World

    return World(rank=0, size=1, device=torch.device("cpu"))


def call(main, *arguments: object) -> None:
    """Run a command's `main` in this process, with these arguments."""
    before = sys.argv
    sys.argv = ["command", *map(str, arguments)]
    try:
        main()
    finally:
        sys.argv = before


def children(parent: int) -> list[int]:
    """The process ids of what a process has started, in the order of their start: torchrun's are its ranks."""
    return [int(number) for number in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def wait_for(condition: Callable[[], bool], process: ForkedCommand | subprocess.Popen) -> None:
    """Wait until the condition holds; the started command must not end before."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.01)


def finish(process: ForkedCommand | subprocess.Popen) -> str:
    """Wait for a started command, which must succeed. Returns its standard error."""
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    return errors


@contextmanager
def no_file_beyond(limit: int) -> Iterator[None]:
    """Writes beyond `limit` bytes in a file fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
