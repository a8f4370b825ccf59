"""Write docs/cleaning.md from the rules. From the repository root: python -m docs.cleaning"""

from pathlib import Path

from lyricbert.songs.cleaning import RULES
from lyricbert.songs.rules.rule import Rule
from lyricbert.songs.show_cleaning import visible

PAGE = Path(__file__).with_name("cleaning.md")

TEMPLATE = """\
# Cleaning

`prepare` cleans the lyrics of each song with the rules below. They are applied in this order, again and again until
none changes the text (at most 20 times). So cleaned lyrics stay as they are when they are cleaned again. `prepare`
prints how often each rule changed something. `prepare SOURCE --show-cleaning 20` prints what the rules change in 20
songs.

- **When in doubt, text stays.** A line that looks like text of a web page, but may be sung, is kept.
- **No text is added.** Repeat marks are removed; the lines before them are not repeated.
- **Sections** are separated by blank lines and by headers. The name of a section is kept without performers: "Verse 1"
  for `[Verse 1: Ann Example]`. A name holds until the next header, also over blank lines.
- **Headers without square brackets** need parentheses, a colon, a number or a repeat mark, and must fill their line.
  "Chorus" alone stays a line of the lyrics.

{rules}
"""


def page() -> str:
    """The content of docs/cleaning.md."""
    return TEMPLATE.format(rules="\n\n".join(map(_section, RULES)))


def _section(rule: Rule) -> str:
    title = f' In this example, the title of the song is "{rule.title}".' if rule.title else ""
    before, after = (_block(text) for text in (rule.before, rule.after))
    return f"## {rule.name[0].upper()}{rule.name[1:]}\n\n{rule.documentation}{title}\n\n{before}\n\nbecomes\n\n{after}"


def _block(text: str) -> str:
    lines = [visible(line) for line in text.split("\n")] if text else ["(nothing)"]
    return "\n".join(["```text", *lines, "```"])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
