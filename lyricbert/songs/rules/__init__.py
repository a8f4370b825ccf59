"""The rules of cleaning, one file for each kind."""

from lyricbert.songs.rules import characters, genius, headers, lines

# In the order in which they are applied, again and again until none changes the text.
REPEATED = (*characters.RULES, *genius.RULES, *headers.RULES, *lines.RULES, genius.EMBED)
