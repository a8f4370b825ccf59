"""benchmarks/public_domain.py with made-up books. A server on this machine stands in for the network."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from http.client import IncompleteRead
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from benchmarks import public_domain
from benchmarks.gutenberg import filters, hymnals
from benchmarks.gutenberg.books import Book, Novel, Song, SongBook
from benchmarks.gutenberg.download import read_files
from benchmarks.gutenberg.moore import parse_moore
from benchmarks.gutenberg.novels import lines_of, paragraphs_of
from benchmarks.gutenberg.poems import parse_poems
from lyricbert.errors import UserError

START, END = "*** START OF THIS PROJECT GUTENBERG EBOOK X ***", "End of the Project Gutenberg EBook of X\nlicence text"
POEMS = f"""<html><head><title>no song</title></head><body><p>{START}</p>
<h2><a name="A">THE GREEN HILL.</a></h2> <p>A note on the hill.</p>
<div class="poem"><div class="stanza">
<span class="i0">ON the green hill[3] I stood<span class="pagenum">[Pg 7]</span><br /></span>
<span class="i2">And it \u2019s \u201ccold\u201d there&mdash;cold, <sup>4</sup><br /></span>
</div><div class="stanza"><span class="i0">Chorus.<br /></span>
<span>Oh, the wind, the wind,<br /></span><span>Sing the wind, &amp;c.<br /></span><span>It blows! 12<br /></span>
</div><div class="stanza">Good night.</div></div>
<h3>II.</h3>
<div class="poetry"><p>One, two,</p><p>Tie my shoe,</p><p>Three, four,</p><p>Shut the door,</p></div>
<div class="footnote">[3] not sung</div>
<h2>Empty</h2><p>{END}</p></body></html>"""
NOVEL = f"""Header\n{START}\n\nCHAPTER I\n\nMr. Brown came in. \u201cWho is _there_?\u201d he said. He waited.\n
Nobody answered him, and so he went\nout again into the rain.\n\n{END}"""


@pytest.fixture
def network(tmp_path) -> Iterator[tuple[Path, str]]:
    """(the directory that a local server shows, its address)."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    (tmp_path / "network").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "network"))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield tmp_path / "network", f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def publish(network: Path, name: str, text: str) -> dict[str, object]:
    """Put a book with one file on the network. Returns the arguments of its `Book`."""
    path = network / "owner" / name / "c0ffee" / "a b.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode())
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"title": name, "repository": f"owner/{name}", "commit": "c0ffee", "files": (("a b.txt", digest),)}


@pytest.fixture
def books(network, monkeypatch) -> str:
    """Puts a song book and a novel on the network and into the script. Returns the address of the network."""
    directory, origin = network
    songs = publish(directory, "songs", POEMS)
    parse = partial(parse_poems, artist="A. Singer")
    monkeypatch.setattr(public_domain, "BOOKS", (SongBook(id="pg1", year=1850, parse=parse, **songs),))
    novel = Novel(id="pg2", author="A. Writer", **publish(directory, "novel", NOVEL))
    monkeypatch.setattr(public_domain, "NOVELS", (novel,))
    return origin


def build(corpus: str, out: Path, origin: str) -> list[dict]:
    """Build a corpus of made-up books, whose SHA-256 is taken from the error message."""
    with pytest.raises(UserError, match=r"the corpus has the SHA-256 [0-9a-f]{64}, not") as refused:
        public_domain.main([corpus, "--out", str(out), "--origin", origin])
    assert not out.exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(public_domain.SHA256, corpus, str(refused.value).split("SHA-256 ")[1][:64])
        public_domain.main([corpus, "--out", str(out), "--origin", origin])
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_songs_are_built_from_the_network(books, tmp_path, capsys):
    first, second = build("songs", tmp_path / "songs.jsonl", books)
    assert first == {
        "id": "pg1-0001",
        "title": "The Green Hill",
        "artist": "A. Singer",
        "collection": "songs",
        "year": 1850,
        "lyrics": 'On the green hill I stood\nAnd it\'s "cold" there--cold,\n\n'
        "Oh, the wind, the wind,\nIt blows!\nGood night.",
    }
    assert (second["title"], second["lyrics"].count("\n")) == ("One, two,", 3)
    assert "pg1 songs: 2 songs, 3 sections, 9 lines; left out: none" in capsys.readouterr().err


def test_prose_is_built_from_the_network(books, tmp_path):
    (piece,) = build("prose", tmp_path / "prose.jsonl", books)
    assert (piece["id"], piece["title"], piece["artist"]) == ("pg2-0001", "novel (1)", "A. Writer")
    assert piece["lyrics"] == (
        'Mr. Brown came in.\n"Who is there?" he said.\nHe waited.\n\n'
        "Nobody answered him, and so he went out again into the rain."
    )


def test_a_changed_file_is_refused(books, network, tmp_path):
    path = network[0] / "owner/songs/c0ffee/a b.txt"
    path.write_text(path.read_text() + " ")
    with pytest.raises(UserError, match=r"a%20b.txt: its SHA-256 is [0-9a-f]{64}, not"):
        public_domain.main(["songs", "--out", str(tmp_path / "songs.jsonl"), "--origin", books])
    assert not (tmp_path / "songs.jsonl").exists()


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "file:///nowhere", "nonsense", "http://host:port"])
def test_without_the_network_there_is_one_line(books, tmp_path, origin):
    with pytest.raises(UserError, match=r"cannot be read \(.*\); check the network, or give --origin") as refused:
        public_domain.main(["songs", "--out", str(tmp_path / "songs.jsonl"), "--origin", origin])
    assert "\n" not in str(refused.value)


def test_an_existing_file_is_not_overwritten(books, tmp_path):
    out = tmp_path / "songs.jsonl"
    out.write_text("mine")
    with pytest.raises(UserError, match="exists; give another --out or remove it"):
        public_domain.main(["songs", "--out", str(out), "--origin", books])
    assert out.read_text() == "mine"


def test_a_directory_that_does_not_exist_is_refused_before_the_download(books, tmp_path):
    with pytest.raises(UserError, match="is not a directory that can be written to; give another --out"):
        public_domain.main(["songs", "--out", str(tmp_path / "no" / "songs.jsonl"), "--origin", "http://127.0.0.1:1"])


def test_a_connection_that_ends_early_is_one_line(books, tmp_path, monkeypatch):
    monkeypatch.setattr("http.client.HTTPResponse.read", raise_incomplete)
    with pytest.raises(UserError, match=r"cannot be read \(.*IncompleteRead"):
        public_domain.main(["songs", "--out", str(tmp_path / "songs.jsonl"), "--origin", books])


def raise_incomplete(*arguments: object) -> None:
    raise IncompleteRead(b"")


def test_every_book_has_a_full_commit_and_checksums():
    books: list[Book] = [*public_domain.BOOKS, *public_domain.NOVELS]
    assert (len(public_domain.BOOKS), len(public_domain.NOVELS)) == (14, 26)
    assert len({book.id for book in books}) == 40
    for book in books:
        assert len(bytes.fromhex(book.commit)) == 20
        assert all(len(bytes.fromhex(digest)) == 32 for _, digest in book.files)
    assert all(len(bytes.fromhex(digest)) == 32 for digest in public_domain.SHA256.values())


def test_files_are_read_in_their_order(network):
    directory, origin = network
    book = publish(directory, "two", "first")
    (directory / "owner/two/c0ffee/2.txt").write_text("second")
    files = (*book["files"], ("2.txt", hashlib.sha256(b"second").hexdigest()))
    assert read_files(Book(id="pg1", **{**book, "files": files}), origin) == [b"first", b"second"]


# Which songs are left out.


def made_song(*sections: str, title: str = "A Song") -> Song:
    return Song(title, "someone", tuple(tuple(section.split("/")) for section in sections))


def left_out(*songs: Song, is_hymnal: bool = False) -> dict[str, int]:
    book = SongBook("pg1", "b", "o/n", "c", (), year=1800, parse=lambda texts: iter(()), is_hymnal=is_hymnal)
    counts: Counter[str] = Counter()
    kept = list(filters.select_songs(book, songs, set(), counts))
    assert len(kept) + sum(counts.values()) == len(songs)
    return dict(counts)


def test_songs_that_are_too_short_or_too_long_are_left_out():
    assert left_out(made_song("a/b/c")) == {"under 4 lines": 1}
    assert left_out(made_song("a/b", "c/d")) == {}
    assert left_out(made_song(*["/".join(f"{n} {m}" for m in range(30)) for n in range(11)])) == {"over 300 lines": 1}
    assert left_out(made_song("/".join(map(str, range(41))))) == {"no stanza breaks": 1}


def test_a_song_with_many_lines_of_earlier_ones_is_a_duplicate():
    first = made_song("The rose is red/the violet blue/the grass is green/and so are you")
    two_of_five = made_song("the ROSE is red!/The violet: blue/one/two/three")
    three_of_five = made_song("the ROSE is red!/The violet: blue/the grass is green/two/four")
    assert left_out(first, two_of_five) == {}
    assert left_out(first, three_of_five) == {"duplicate": 1}


def test_words_are_left_out_by_their_hashes(monkeypatch):
    hashed = frozenset({hashlib.sha256(b"zounds").hexdigest()[:16]})
    monkeypatch.setattr(filters, "SLURS", hashed)
    verse = "one/two/three/four"
    assert left_out(made_song(verse, "Zounds's end, he said/again")) == {"words": 1}
    assert left_out(made_song(verse), made_song("five/six/seven/eight", title="ZOUNDS!")) == {"words": 1}
    assert left_out(made_song(verse, "zoundsing")) == {}
    monkeypatch.setattr(filters, "SLURS", frozenset())
    monkeypatch.setattr(filters, "PEOPLE", hashed)
    assert left_out(made_song(verse, "zounds")) == {"words": 1}
    assert left_out(made_song(verse, "zounds"), is_hymnal=True) == {}
    assert len(filters._SLURS.split()) > 40


# How the other kinds of books are read.


def test_moore_has_titles_between_blank_lines():
    songs = "\n\n\n\n\n\n\n".join(
        [
            "GO WHERE GLORY WAITS.\n\n(AIR.--OLD.)\n\n\nGo where glory waits,[1]\nBut _still_ remember\n\n[1] Note.",
            "NATIONAL AIRS",
            "HARK!\n\nHark, the bell\nIs ringing",
        ]
    )
    text = (
        f"preface\nIRISH MELODIES\nabout\nIRISH MELODIES\n\n\n\n\n\n\n{songs}\n\n\n\n\n\nPOEMS FROM THE EPICUREAN\nmore"
    )
    first, second = parse_moore([text])
    assert first == Song("Go Where Glory Waits", "Thomas Moore", (("Go where glory waits,", "But still remember"),))
    assert (second.title, second.sections) == ("Hark!", (("Hark, the bell", "Is ringing"),))


def test_hymns_of_watts_have_numbered_verses():
    text = (
        "Preface\n\nHymn 1:4. _The title._\n\n1 O Lord my God,\n[2 is no verse]\n\n2 The second verse\nHas two lines.\n"
    )
    (hymn,) = hymnals.parse_watts([text])
    assert hymn.artist == "Isaac Watts"
    assert hymn.sections[-1] == ("The second verse", "Has two lines.")


def test_a_hymn_in_html_has_a_title_an_author_and_verses():
    verse = '<div class="verse"><p class="t0">{}</p><p class="t">{}</p></div>'
    text = (
        '<div id="h12" class="hymn"><h5>The title.</h5>'
        + verse.format('<span class="vn">1</span> Come, O come', "Chorus.--Sing [loud], &c.")
        + verse.format("Rise up", "And sing")
        + '<p class="author">Anon. (1701)</p></div>'
    )
    (hymn,) = hymnals.parse_html([text], hymnals.BOOK_OF_HYMNS)
    assert (hymn.title, hymn.artist) == ("The title", "Anon.")
    assert hymn.sections == (("Come, O come",), ("Rise up", "And sing"))


def test_prose_has_no_headings_and_lines_of_at_most_30_words():
    assert list(
        paragraphs_of("CONTENTS\n\nChapter 1\n\n[Illustration: a ship sails.]\n\nIt was late, and it\nrained.")
    ) == ["It was late, and it rained."]
    assert list(map(len, map(str.split, lines_of(" ".join(["word"] * 70) + ".")))) == [30, 30, 10]
    assert lines_of('"No!" Dr. Grey said. "Go, go home." (She went.)') == [
        '"No!"',
        "Dr. Grey said.",
        '"Go, go home."',
        "(She went.)",
    ]
