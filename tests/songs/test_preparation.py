"""Shards, parts and joins: the store does not depend on workers, interruptions or parts."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_songs

import lyricbert.runtime.lock
import lyricbert.songs.preparation
import lyricbert.songs.sharding.building
from lyricbert.errors import UserError
from lyricbert.files import write_json
from lyricbert.songs.formats import ReadOptions
from lyricbert.songs.joining.join import JoinSettings, join_shards
from lyricbert.songs.preparation import join_stores, list_ranges, prepare_part, prepare_store
from lyricbert.songs.record import Record
from lyricbert.songs.sharding.cutting import Rows
from lyricbert.songs.sharding.shard import write_shard
from lyricbert.songs.sharding.shard_making import Lyrics, ShardSettings
from lyricbert.songs.sharding.work_directory import shards_in
from lyricbert.songs.store import open_store, sum_of

HALF = JoinSettings(0.5, 0)


class InterruptedLyrics(Lyrics):
    """Raises KeyboardInterrupt after some records of the last file."""

    def read(self, file, dropped) -> Iterator[Record]:
        for number, record in enumerate(super().read(file, dropped)):
            if number == 10 and file.stem == "40":
                raise KeyboardInterrupt
            yield record


@pytest.fixture(scope="module")
def settings(tmp_path_factory, model_dir) -> ShardSettings:
    """60 songs and some that are left out, in three files, in about 15 shards."""
    folder = tmp_path_factory.mktemp("lyrics")
    songs = make_songs(60, seed=3)
    songs[20]["lyrics"] = "12 ContributorsNight Lyrics[Verse 1]\n" + songs[20]["lyrics"]
    for start in (0, 20, 40):
        rows = [*songs[start : start + 20], {"lyrics": ""}, songs[start]]
        (folder / f"{start}.jsonl").write_text("".join(json.dumps(song) + "\n" for song in rows))
    (folder / "notes.md").write_text("no lyrics")
    return ShardSettings(Lyrics((folder,), None, ReadOptions()), str(model_dir), batch_characters=3000)


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory) -> dict[str, bytes]:
    """The files of the store, made in one process without interruption."""
    out = tmp_path_factory.mktemp("whole") / "store"
    meta = prepare_store(settings, HALF, out, workers=1)
    assert meta["dropped"]["songs without lyrics"] == 3
    assert meta["dropped"]["duplicate songs"] == 3
    assert meta["counts"]["train"]["songs"] + meta["counts"]["validation"]["songs"] == 60
    return contents(out)


def contents(store: Path) -> dict[str, bytes]:
    return {path.relative_to(store).as_posix(): path.read_bytes() for path in store.rglob("*") if path.is_file()}


@pytest.mark.parametrize("workers", [2, 3])
def test_the_store_is_the_same_for_any_number_of_workers(settings, whole, tmp_path, workers):
    prepare_store(settings, HALF, tmp_path / "store", workers)
    assert contents(tmp_path / "store") == whole
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_the_store_is_the_same_for_another_size_of_shards(settings, whole, tmp_path):
    prepare_store(replace(settings, batch_characters=10**9), HALF, tmp_path / "store", 1)
    assert contents(tmp_path / "store") == whole


def interrupt(settings: ShardSettings, out: Path, workers: int) -> list[Path]:
    """Begin to make the store `out`. Returns the shards that are left."""
    lyrics = InterruptedLyrics(settings.lyrics.sources, None, settings.lyrics.options)
    with pytest.raises(KeyboardInterrupt):
        prepare_store(replace(settings, lyrics=lyrics), HALF, out, workers)
    assert not out.exists()
    return shards_in(out.with_name(f".{out.name}.shards"))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_command_continues_from_its_shards(settings, whole, tmp_path, capfd, monkeypatch, workers):
    finished = interrupt(settings, tmp_path / "store", workers)
    assert len(finished) >= 5
    (finished[0].parent / ".shard-000099.tmp-1").mkdir()  # of a killed worker
    (finished[0].parent / ".store.tmp-1").mkdir()  # of a killed join
    made = []

    def write_and_note(path: Path, *others: object) -> None:
        made.append(path)
        write_shard(path, *others)

    monkeypatch.setattr(lyricbert.songs.sharding.building, "write_shard", write_and_note)
    capfd.readouterr()
    prepare_store(settings, HALF, tmp_path / "store", 1)
    assert contents(tmp_path / "store") == whole
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    assert made and not set(made) & set(finished)
    assert capfd.readouterr().err == ""


def test_a_mistake_in_a_second_command_does_not_cost_finished_shards(settings, whole, tmp_path, capfd):
    finished = interrupt(settings, tmp_path / "store", 1)
    for mistake in (replace(settings, max_tokens=3), replace(settings, tokenizer=str(tmp_path / "missing"))):
        with pytest.raises(UserError, match=r"--max-tokens 3|missing"):
            prepare_store(mistake, HALF, tmp_path / "store", 1)
        assert shards_in(finished[0].parent) == finished
    capfd.readouterr()
    prepare_store(settings, HALF, tmp_path / "store", 1)
    assert contents(tmp_path / "store") == whole
    assert capfd.readouterr().err == ""


def test_what_a_kill_left_is_not_in_a_part(settings, tmp_path):
    (tmp_path / ".part.shards/.shard-000009.tmp-1").mkdir(parents=True)
    prepare_part(replace(settings, rows=Rows(0, 5)), tmp_path / "part", 1)
    assert not list((tmp_path / "part").glob(".*"))
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize("from_lyrics", [True, False])
def test_what_a_kill_left_of_a_join_is_removed(settings, parts, tmp_path, monkeypatch, from_lyrics):
    (left := tmp_path / ".store.shards/.store.tmp-1").mkdir(parents=True)

    def join(shards, directory, *others):
        assert directory.parent == left.parent and not left.exists()
        return join_shards(shards, directory, *others)

    monkeypatch.setattr(lyricbert.songs.preparation, "join_shards", join)
    if from_lyrics:
        prepare_store(settings, HALF, tmp_path / "store", 1)
    else:
        join_stores(tuple(parts), HALF, tmp_path / "store")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("change", ["tokens", "source"])
def test_shards_of_another_command_are_not_used(settings, tmp_path, capfd, change):
    settings = replace(settings, lyrics=replace(settings.lyrics, sources=copied(settings, tmp_path)))
    count = len(interrupt(settings, tmp_path / "out/store", 1))
    if change == "tokens":
        settings = replace(settings, max_tokens=32)
    else:
        (tmp_path / "lyrics/40.jsonl").write_text((tmp_path / "lyrics/0.jsonl").read_text())
    capfd.readouterr()
    prepare_store(settings, HALF, tmp_path / "out/store", 1)
    said = f"{tmp_path}/out/.store.shards: removed {count} shards, which were made by another command"
    assert capfd.readouterr().err.startswith(said)
    prepare_store(settings, HALF, tmp_path / "out/again", 1)
    assert contents(tmp_path / "out/store") == contents(tmp_path / "out/again")


def copied(settings: ShardSettings, folder: Path) -> tuple[Path]:
    (folder / "lyrics").mkdir()
    for path in settings.lyrics.sources[0].iterdir():
        (folder / "lyrics" / path.name).write_bytes(path.read_bytes())
    return (folder / "lyrics",)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_user_error_midway_leaves_nothing(settings, tmp_path, workers):
    sources = copied(settings, tmp_path)
    with (tmp_path / "lyrics/40.jsonl").open("a") as file:
        file.write("{")
    with pytest.raises(UserError, match=r"40\.jsonl: line 23 is not JSON"):
        prepare_store(replace(settings, lyrics=Lyrics(sources, None, ReadOptions())), HALF, tmp_path / "a/b/c", workers)
    assert [path.name for path in tmp_path.iterdir()] == ["lyrics"]


def test_a_second_command_with_the_same_out_is_refused(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(lyricbert.runtime.lock, "_WAIT_SECONDS", 0.0)

    class SecondCommand(Lyrics):
        def read(self, file, dropped) -> Iterator[Record]:
            with pytest.raises(UserError, match=r"\.store\.shards: in use by another run \(process "):
                prepare_store(settings, HALF, tmp_path / "store", 1)
            yield from super().read(file, dropped)

    lyrics = SecondCommand(settings.lyrics.sources, None, settings.lyrics.options)
    prepare_store(replace(settings, lyrics=lyrics), HALF, tmp_path / "store", 1)
    assert open_store(tmp_path / "store")


@pytest.fixture(scope="module")
def parts(settings, tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    ranges = list_ranges(settings.lyrics, 4)
    assert len(ranges) == 4
    for number, rows in enumerate(ranges):
        prepare_part(replace(settings, rows=rows, batch_characters=4000), folder / str(number), workers=1)
    assert sorted(path.name for path in folder.iterdir()) == ["0", "1", "2", "3"]
    return [folder / str(number) for number in range(4)]


def test_a_part_holds_only_what_the_join_needs(settings, tmp_path):
    work = tmp_path / ".part.shards"
    (work / ".shard-000000.tmp-1").mkdir(parents=True)  # of a killed command
    prepare_part(settings, tmp_path / "part", workers=1)
    names = {path.name for path in (tmp_path / "part").iterdir() if not path.name.startswith("shard-")}
    assert names == {"made-from.json", "part.json", "tokenizer"}
    assert not work.exists()


def test_ranges_of_no_lyrics_are_a_user_error(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UserError, match=r"empty\.txt: no lyrics"):
        list_ranges(Lyrics((tmp_path / "empty.txt",), None, ReadOptions()), 3)


def test_joined_parts_are_the_store_of_one_command(parts, whole, tmp_path):
    join_stores(tuple(parts), HALF, tmp_path / "store")
    assert contents(tmp_path / "store") == whole


def test_a_missing_or_repeated_part_is_refused(parts, tmp_path):
    for chosen, complaint in (
        (parts[:3], "2: ends before row"),
        (parts[1:], "1: begins at row"),
        ([parts[0], parts[2], parts[3]], "2: begins at row"),
        ([*parts[:2], *parts[1:]], "1: begins at row"),
        ([parts[1], parts[0], *parts[2:]], "1: begins at row"),
    ):
        with pytest.raises(UserError, match=complaint):
            join_stores(tuple(chosen), HALF, tmp_path / "store")
    assert list(tmp_path.iterdir()) == []


def flip_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_bit, Path.unlink])
@pytest.mark.parametrize("name", ["shard-000001/line_keys.npy", "shard-000001/songs.jsonl", "tokenizer/tokenizer.json"])
def test_a_damaged_part_is_refused(parts, tmp_path, name, damage):
    copy = shutil.copytree(parts[1], tmp_path / "copy")
    damage(copy / name)
    with pytest.raises(UserError, match=rf"copy/{name}: .*; make this part again"):
        join_stores((parts[0], copy, *parts[2:]), HALF, tmp_path / "store")


def test_a_part_without_one_of_its_shards_is_refused(parts, tmp_path):
    copy = shutil.copytree(parts[1], tmp_path / "copy")
    shutil.rmtree(copy / "shard-000000")
    with pytest.raises(UserError, match=r"copy/shard-000000/.*: cannot be read .*; make this part again"):
        join_stores((parts[0], copy, *parts[2:]), HALF, tmp_path / "store")


def test_a_damaged_store_is_not_joined(halves, tmp_path):
    """Otherwise the new store would have sums that match the damage."""
    copy = shutil.copytree(halves[1], tmp_path / "copy")
    flip_bit(copy / "tokens.npy")
    with pytest.raises(UserError, match=r"copy/tokens.npy: damaged"):
        join_stores((halves[0], copy), HALF, tmp_path / "store")


def test_parts_that_are_made_with_other_filters_are_refused(settings, tmp_path):
    """With other filters, the rows have other numbers, so songs would be missing."""
    filtered = replace(settings, lyrics=replace(settings.lyrics, options=ReadOptions(exclude_tags=("misc",))))
    for name, each, rows in (("a", settings, Rows(0, 30)), ("b", filtered, Rows(30))):
        prepare_part(replace(each, rows=rows), tmp_path / name, workers=1)
    with pytest.raises(UserError, match=r"b: made with the option exclude_tags \['misc'\], but .*a with not given"):
        join_stores((tmp_path / "a", tmp_path / "b"), HALF, tmp_path / "store")


def test_a_part_is_no_store(parts):
    with pytest.raises(UserError, match=r"0: is a part of a token store; join it first: .* --join"):
        open_store(parts[0])


@pytest.fixture(scope="module")
def halves(settings, tmp_path_factory) -> list[Path]:
    """Two stores, of the first 30 records and of the others."""
    folder = tmp_path_factory.mktemp("halves")
    for name, rows in (("a", Rows(0, 30)), ("b", Rows(30))):
        prepare_store(replace(settings, rows=rows), HALF, folder / name, workers=1)
    return [folder / "a", folder / "b"]


def test_joined_stores_are_split_anew(halves, whole, tmp_path):
    join_stores(tuple(halves), HALF, tmp_path / "both")
    both = open_store(tmp_path / "both")
    songs = both.meta["counts"]["train"]["songs"] + both.meta["counts"]["validation"]["songs"]
    assert 55 <= songs <= 60  # a song may have lost all lines, because they occur in training
    assert len((tmp_path / "both/sources.jsonl").read_text().splitlines()) == 3
    join_stores(tuple(halves), JoinSettings(0.5, 1), tmp_path / "again")
    assert open_store(tmp_path / "again").song_split.tolist() != both.song_split.tolist()


def test_stores_of_different_tokenizers_or_versions_are_not_joined(settings, halves, encoder_dir, tmp_path):
    short = replace(settings, max_tokens=16)
    prepare_store(short, HALF, tmp_path / "short", 1)
    with pytest.raises(UserError, match=r"short: made with --max-tokens 16, but .*a with 64"):
        join_stores((halves[0], tmp_path / "short"), HALF, tmp_path / "both")
    for key, value in (("lyricbert", "9.9"), ("format_version", 9)):
        meta = {**json.loads((tmp_path / "short/meta.json").read_text()), "max_tokens": 64, key: value}
        write_json(tmp_path / "short/meta.json", {**meta, "sha256": sum_of(meta)})
        with pytest.raises(UserError, match=rf"short: .*\b{value}\b"):
            join_stores((halves[0], tmp_path / "short"), HALF, tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_meta_does_not_grow_with_the_number_of_files(tmp_path, model_dir):
    sizes = []
    for count in (10, 300):
        folder = tmp_path / f"{count:03}"
        folder.mkdir()
        for number, song in enumerate(make_songs(count, seed=7)):
            (folder / f"{number}.txt").write_text(song["lyrics"])
        settings = ShardSettings(Lyrics((folder,), None, ReadOptions()), str(model_dir))
        prepare_store(settings, HALF, tmp_path / f"store {count}", 1)
        sizes.append(len((tmp_path / f"store {count}/meta.json").read_text()))
        assert len((tmp_path / f"store {count}/sources.jsonl").read_text().splitlines()) == count
    assert sizes[1] < sizes[0] + 100  # digits of counts


def test_names_of_files_need_not_be_utf8(settings, tmp_path):
    (source,) = copied(settings, tmp_path)
    (source / "0.jsonl").rename(source / os.fsdecode(b"caf\xe9.jsonl"))
    prepare_store(replace(settings, lyrics=Lyrics((source,), None, ReadOptions())), HALF, tmp_path / "store", 1)
    *_, last = (tmp_path / "store/sources.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(last)["name"] == "caf?.jsonl"
