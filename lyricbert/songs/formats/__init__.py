"""Read lyrics files of all supported kinds into `Record`s: `list_files` finds them, `read_records` reads one."""

from lyricbert.songs.formats.files import LyricsFile
from lyricbert.songs.formats.finding import list_files
from lyricbert.songs.formats.options import ReadOptions
from lyricbert.songs.formats.reading import read_records

__all__ = ["LyricsFile", "ReadOptions", "list_files", "read_records"]
