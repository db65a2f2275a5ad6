"""Other people's words inside a text that a forge renders: they stay words.

A forge does more than Markdown: it pings who is mentioned, links issues, commits, addresses and keys
of foreign trackers, and makes emoji into images, also in what an entity or a backslash has shielded
from Markdown, because it looks for them in the rendered text. So what Markdown or HTML would read
becomes an entity, and what the forge would look for is parted by a blank of no width.
"""

import re

from coordinator.rules.metadata import one_line

__all__ = ["PARTING", "linked", "worded"]

PARTING = "\u200b"

# Hexadecimal, because the decimal form holds what looks like a reference ("&#42;").
_ENTITIES = {ord(char): f"&#x{ord(char):x};" for char in "\\`*_[]<>|~$&"}
_PARTED = re.compile(
    r"[@#!](?=\S)"  # people, issues, pull requests
    r"|:(?=\S)"  # addresses with a scheme, emoji
    r"|\[(?=\[)"  # pages of the wiki and pictures, between two brackets
    r"|(?<![A-Za-z0-9])[wW]{3}(?=\.)"  # addresses without one
    r"|(?<![A-Za-z0-9])[A-Z][A-Z0-9]{0,9}-(?=[0-9])"  # keys of other trackers
    r"|[0-9a-f]{6}(?=[0-9a-f])"  # commits, from seven digits on
)
# What a forge lets a repository be called; anything else is no name to make a link of.
_FULL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")


def worded(text: str, limit: int) -> str:
    """The text on one line of at most `limit` characters that pings, links, loads and formats nothing.

    Characters are counted before escaping; an escaped one takes up to six.
    """
    parted = _PARTED.sub(lambda match: match[0] + PARTING, one_line(text, limit))
    return parted.translate(_ENTITIES)


def linked(name: str, number: int, *, own: str) -> str:
    """A reference that the forge makes a link of, as short as it can be in repository `own`."""
    if name.lower() == own.lower():
        return f"#{number}"
    return f"{name}#{number}" if _FULL_NAME.fullmatch(name) else worded(f"{name}#{number}", 250)
