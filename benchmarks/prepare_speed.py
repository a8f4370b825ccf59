"""Compare the speed of `prepare` with that of the tokenizer alone, and with `datasets.map`, on two CPU cores.

    python benchmarks/prepare_speed.py --songs SONGS.jsonl --tokenizer MODEL

SONGS.jsonl has songs with a `lyrics` field. To make a larger corpus, it is used several times (--copies): each time the
lines are shuffled over all songs, and the words of each line are rotated. So lines differ, and words are as frequent
as in the songs. These contenders process all lines of all songs, in turns, in each of several rounds. The table has
medians over the rounds. All processes of a contender may use the same two cores.

    tokenizers    `encode_batch` of the tokenizers library, with two threads: only the ids, nothing is kept
    prepare 2     `python -m lyricbert.prepare --workers 2`, from the file to the finished store
    prepare 1     the same with one worker, so in one process
    datasets      `Dataset.map(batched=True, num_proc=2)` with the function of run_mlm.py (--line_by_line), to its cache

"with start" is the time of the whole command. "without start" is, for prepare, that time less the time of the same
command on two songs; for the others, only the time of `encode_batch` or `map`, with the lines already in memory.
"CPU s" is the time for which all processes of a contender have used a core, start included. It hardly depends on what
else runs on the machine.

Then it calculates what more workers would give: the seconds that one process reads, and that one process joins, stay;
the rest is divided by the number of workers (Amdahl's law).
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

CORES = 2
CONTENDERS = ("tokenizers", "prepare 2", "prepare 1", "datasets")
MOST_WORKERS = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="a .jsonl file of songs")
    parser.add_argument("--tokenizer", required=True, help="directory of a model")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--time", choices=(*TIMED, "stages"), help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args()
    if arguments.time:
        print(json.dumps((TIMED | {"stages": time_stages})[arguments.time](arguments.songs, arguments.tokenizer)))
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory() as folder:
        songs = write_copies(arguments.songs, arguments.copies, Path(folder) / "songs.jsonl")
        lines = len(read_lines(songs))
        seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in arguments.contenders}
        for number in range(arguments.rounds):
            for name in arguments.contenders:
                before = cpu_seconds()
                timed = run(name, songs, arguments.tokenizer)
                seconds[name].append((*timed, cpu_seconds() - before))
                print(f"round {number + 1}, {name}: {seconds[name][-1][0]:.2f} s", file=sys.stderr, flush=True)
        stages = in_own_process("stages", songs, arguments.tokenizer)[1]
    print("\n".join([*table(lines, seconds), *calculation(lines, stages)]))


def write_copies(songs: Path, copies: int, path: Path) -> Path:
    """Write `copies` of the songs to `path`, all but the first one with shuffled lines. Returns `path`."""
    lyrics = [json.loads(line)["lyrics"].split("\n") for line in songs.read_text(encoding="utf-8").splitlines()]
    with path.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            words = [line.split() for song in lyrics for line in song if line.strip()]
            random.Random(copy).shuffle(words)
            rotated = iter(" ".join(line[copy:] + line[:copy]) for line in words)
            for song in lyrics:
                text = song if copy == 0 else [next(rotated) if line.strip() else "" for line in song]
                file.write(json.dumps({"lyrics": "\n".join(text)}) + "\n")
    return path


def cpu_seconds() -> float:
    """The CPU time of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def read_lines(songs: Path) -> list[str]:
    """All lines of all songs that are not empty."""
    with songs.open(encoding="utf-8") as file:
        return [line for song in file for line in json.loads(song)["lyrics"].split("\n") if line.strip()]


def run(contender: str, songs: Path, tokenizer: str) -> tuple[float, float]:
    """(seconds with start, seconds without start)."""
    if contender in TIMED:
        return in_own_process(contender, songs, tokenizer)
    workers = contender.split()[1]
    with tempfile.TemporaryDirectory() as folder:
        two = Path(folder) / "two.jsonl"
        two.write_text('{"lyrics": "one song"}\n{"lyrics": "and another one"}\n', encoding="utf-8")
        start = prepare(two, tokenizer, Path(folder) / "small", workers)
        whole = prepare(songs, tokenizer, Path(folder) / "store", workers)
    return whole, whole - start


def prepare(songs: Path, tokenizer: str, out: Path, workers: str) -> float:
    """The seconds of a `prepare`."""
    split = ["--val-fraction", "0.5", "--seed", "1"]  # so that one of the two songs is held out
    command = ["-m", "lyricbert.prepare", str(songs), "--tokenizer", tokenizer, "--out", str(out), "--workers", workers]
    begin = time.perf_counter()
    subprocess.run([sys.executable, *command, *split], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - begin


def in_own_process(what: str, songs: Path, tokenizer: str) -> tuple[float, float]:
    """(seconds of the whole process, what it measured)."""
    command = [sys.executable, __file__, "--songs", str(songs), "--tokenizer", tokenizer, "--time", what]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - begin, json.loads(done.stdout.splitlines()[-1])


def time_tokenizers(songs: Path, tokenizer: str) -> float:
    from tokenizers import Tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    loaded = Tokenizer.from_file(f"{tokenizer}/tokenizer.json")
    loaded.no_truncation()
    loaded.no_padding()
    lines = read_lines(songs)
    begin = time.perf_counter()
    loaded.encode_batch(lines)
    return time.perf_counter() - begin


def time_datasets(songs: Path, tokenizer: str) -> float:
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    loaded = AutoTokenizer.from_pretrained(tokenizer)

    def tokenize_function(examples: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        texts = [line for line in examples["text"] if len(line) > 0 and not line.isspace()]
        return loaded(texts, padding=False, truncation=True, max_length=512, return_special_tokens_mask=True)

    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "lines.txt")
        text.write_text("".join(f"{line}\n" for line in read_lines(songs)), encoding="utf-8")
        lines = datasets.Dataset.from_text(str(text), cache_dir=folder)
        begin = time.perf_counter()
        lines.map(tokenize_function, batched=True, num_proc=CORES, remove_columns=["text"])
        return time.perf_counter() - begin


TIMED: dict[str, Callable[[Path, str], float]] = {"tokenizers": time_tokenizers, "datasets": time_datasets}


def time_stages(songs: Path, tokenizer: str) -> dict[str, float]:
    """Seconds of reading, of making shards, and of the join, one after the other in this process."""
    from collections import Counter

    from lyricbert.songs.formats import ReadOptions
    from lyricbert.songs.joining.join import JoinSettings, join_shards
    from lyricbert.songs.line_tokenizer import LineTokenizer
    from lyricbert.songs.sharding.building import ShardBuilder
    from lyricbert.songs.sharding.cutting import Rows, cut_into_batches
    from lyricbert.songs.sharding.shard_making import Lyrics
    from lyricbert.songs.sharding.work_directory import shards_in
    from lyricbert.songs.tokenizer import save_tokenizer

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    lyrics = Lyrics((songs,), None, ReadOptions())
    with tempfile.TemporaryDirectory() as folder:
        shards, store = Path(folder, "shards"), Path(folder, "store")
        store.mkdir()
        builder = ShardBuilder(shards, LineTokenizer(save_tokenizer(tokenizer, shards / "tokenizer"), 512))
        times = [time.perf_counter()]
        batches = list(cut_into_batches(lyrics.files(Counter()), lyrics.read, Rows(), Counter()))
        times.append(time.perf_counter())
        for batch in batches:
            builder(batch)
        times.append(time.perf_counter())
        join_shards(shards_in(shards), store, JoinSettings(0.5, 1), Counter())
        times.append(time.perf_counter())
    return dict(zip(("reading", "shards", "join"), (b - a for a, b in pairwise(times)), strict=True))


def table(lines: int, seconds: dict[str, list[tuple[float, float, float]]]) -> list[str]:
    """A row for each contender: lines per second (medians), and how many times as fast as the tokenizer alone."""
    medians = {name: [statistics.median(kind) for kind in zip(*timed, strict=True)] for name, timed in seconds.items()}
    base = medians.get("tokenizers", next(iter(medians.values())))
    rows = [f"{lines:,} lines, {CORES} cores, medians of {len(next(iter(seconds.values())))} rounds", ""]
    rows += ["| contender | lines/s without start | of tokenizers | lines/s with start | of tokenizers | CPU s |"]
    rows += ["|---|---:|---:|---:|---:|---:|"]
    for name, (whole, work, cpu) in medians.items():
        without = f"{lines / work:,.0f} | {base[1] / work:.2f}"
        rows += [f"| {name} | {without} | {lines / whole:,.0f} | {base[0] / whole:.2f} | {cpu:.1f} |"]
    if {"prepare 2", "datasets"} <= medians.keys():
        whole, work, _ = (theirs / ours for ours, theirs in zip(medians["prepare 2"], medians["datasets"], strict=True))
        rows += ["", f"prepare 2 over datasets: {work:.2f} without start, {whole:.2f} with start"]
    return rows


def calculation(lines: int, stages: dict[str, float]) -> list[str]:
    """Lines per second for numbers of workers, calculated from the seconds of the stages."""
    one = "reading {reading:.2f} s and join {join:.2f} s in one process, shards {shards:.2f} s in the workers"
    rows = ["", "one round, one stage after the other: " + one.format(**stages), ""]
    rows += ["| workers | calculated lines/s | times one worker |", "|---:|---:|---:|"]
    alone = sum(stages.values())
    workers = 1
    while workers <= MOST_WORKERS:
        # The process that reads works beside the workers, so the slower side decides.
        total = stages["join"] + (
            alone - stages["join"] if workers == 1 else max(stages["reading"], stages["shards"] / workers)
        )
        rows += [f"| {workers} | {lines / total:,.0f} | {alone / total:.2f} |"]
        workers *= 2
    return rows


if __name__ == "__main__":
    main()
