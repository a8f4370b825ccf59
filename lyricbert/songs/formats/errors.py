"""Errors of lyrics files that are not simply a `UserError`."""

from lyricbert.errors import UserError


class NoLyricsError(UserError):
    """A file has no lyrics at all. Such a file in a folder is counted; a file that the user named is an error."""
