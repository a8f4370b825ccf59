"""What `prepare --describe` prints."""

import json
import re
import shutil

import pytest
from conftest import call

from lyricbert import prepare
from lyricbert.errors import UserError
from lyricbert.songs.description import describe_store


@pytest.fixture
def described(tmp_path, model_dir, capsys) -> str:
    songs = [
        {
            "id": number,
            "title": f"Song {number}",
            "artist": "The Tests",
            "language": "en" if number % 2 else "de",
            "lyrics": f"[Chorus]\nnight moon {'rain ' * number}\nfire {'gold ' * (10 * number)}\n\nhold my heart",
        }
        for number in range(1, 12)
    ]
    (tmp_path / "songs.json").write_text(json.dumps(songs))
    out = ("--out", tmp_path / "store", "--tokenizer", model_dir)
    call(prepare.main, tmp_path / "songs.json", *out, "--val-fraction", 0.3, "--near-duplicates", "keep")
    capsys.readouterr()
    call(prepare.main, "--describe", tmp_path / "store")
    return capsys.readouterr().out


def test_counts_lengths_languages_lines_and_samples(described):
    blocks = described.rstrip("\n").split("\n\n")
    titles = [block.splitlines()[0] for block in blocks]
    assert re.match(r"token store .*/store$", titles[0])
    assert blocks[0].endswith("near duplicates: 0 songs in 0 clusters of up to 0 (--near-duplicates keep)")
    assert titles[1:4] == ["lengths of lines, in tokens:", "languages:", "most frequent lines:"]
    assert titles[4:7] == [f'a section of The Tests "Song {number}" [Chorus]:' for number in (1, 4, 7)]
    assert titles[7] == "removed or changed:"
    assert "section headers" in blocks[7]
    lengths = {row.split()[0]: int(row.split()[1]) for row in blocks[1].splitlines()[1:]}
    lines = [int(count) for count in re.search(r"^lines +(\d+) +(\d+)$", blocks[0], re.MULTILINE).groups()]
    assert sum(lengths.values()) == sum(lines)
    assert list(lengths) == ["1-4", "5-8", "9-12", "13-16", "21-24", "25-32", "33-48", "49-64"]
    assert blocks[1].splitlines()[1].endswith("#")
    assert blocks[2].splitlines()[1:] == ["           6  en", "           5  de"]
    assert re.fullmatch(r" +\d+  hold my heart", blocks[3].splitlines()[1])
    assert "  night moon rain" in blocks[4].splitlines()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("songs.jsonl", b'{"id": "1", "tit'),
        ("songs.jsonl", b'{"id": "1"}\n'),
        ("songs.jsonl", b"\xff"),
        ("songs.jsonl", None),
        ("tokenizer/tokenizer.json", b"{"),
        ("tokenizer/tokenizer.json", None),
    ],
)
def test_a_damaged_store_is_not_described(store_dir, tmp_path, name, content):
    shutil.copytree(store_dir, tmp_path / "store")
    if content is None:
        (tmp_path / "store" / name).unlink()
    else:
        (tmp_path / "store" / name).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged|cannot be read"):
        describe_store(tmp_path / "store")


def test_names_do_not_control_the_terminal(tmp_path, model_dir):
    songs = [{"title": "\x1b[31mRed", "language": "e\x1bn", "lyrics": f"night moon {'rain ' * n}"} for n in range(1, 9)]
    (tmp_path / "songs.json").write_text(json.dumps(songs))
    out = ("--out", tmp_path / "store", "--tokenizer", model_dir)
    call(prepare.main, tmp_path / "songs.json", *out, "--val-fraction", 0.4, "--near-duplicates", "keep")
    text = describe_store(tmp_path / "store")
    assert "\x1b" not in text
    assert "\\x1b[31mRed" in text
    assert "e\\x1bn" in text
