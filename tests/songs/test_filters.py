"""--language and --exclude-tag."""

import json

import pytest
from sources import read_and_count

SONGS = [
    {"lyrics": "a", "language": "en", "tag": "rap"},
    {"lyrics": "b", "language": "", "language_ft": "pt", "tag": "Misc"},
    {"lyrics": "c", "language": None, "language_cld3": "en-GB"},
    {"lyrics": "d", "language": "EN_us", "language_ft": "pt", "tags": [{"name": "Pop"}, {"name": "Non-Music"}]},
    {"lyrics": "e", "language": "fr", "language_ft": "en", "genre": "misc"},
    {"lyrics": "f"},
]


@pytest.mark.parametrize(
    ("options", "kept", "counted"),
    [
        ({}, "abcdef", {}),
        (
            {"language": "en"},
            "acdf",
            {"songs in another language than en (--language)": 2, "songs without a language (kept)": 1},
        ),
        ({"language": "pt"}, "bf", {"songs in another language than pt (--language)": 4}),
        ({"exclude_tags": ("misc",)}, "acdf", {"songs with tag misc (--exclude-tag)": 2}),
        ({"exclude_tags": ("pop", "rap")}, "bcef", {"songs with tag rap (--exclude-tag)": 1}),
    ],
)
def test_songs_are_kept_by_language_and_tag(tmp_path, options, kept, counted):
    (tmp_path / "a.json").write_text(json.dumps(SONGS))
    records, dropped = read_and_count(tmp_path / "a.json", **options)
    assert "".join(record.lyrics for record in records) == kept
    assert dropped.items() >= counted.items()
