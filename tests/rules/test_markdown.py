"""Words of others stay words, whatever a forge would like to make of them."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.markdown import PARTING, linked, worded

# What a forge makes of the rendered text: pings, references, commits, addresses, keys, emoji.
FORGE = re.compile(
    r"@[0-9A-Za-z_.-]|[#!][0-9]|(?<![0-9A-Za-z])[0-9a-f]{7,}|://|:[a-z0-9_+-]+:|(?<![A-Za-z0-9])www\."
    r"|(?<![A-Za-z0-9])[A-Z]{1,10}-[1-9]|\[\[",
)
pieces = st.lists(
    st.one_of(
        st.sampled_from(
            ["@maria", "#12", "!3", "acme/w#4", "https://e.org/x", "www.e.org", "deadbeef12", ":tada:",
             "JIRA-12", "<img src=x>", "![a](b)", "[a](b)", "`x`", "**b**", "|", "$x$", "a&lt;b", "\\",
             "[[a.png]]", "<!--", "a@b.org", "\n\n", "\u202e", " "]
        ),
        st.text(max_size=5),
    )
)  # fmt: skip


@given(pieces.map("".join))
def test_nothing_is_left_to_link_ping_or_load(text: str) -> None:
    """Neither as written nor as rendered is anything left that Markdown, HTML or the forge acts on."""
    escaped = worded(text, 200)
    assert not set(escaped) & set("`*_[]<>|~$\\\n")
    assert FORGE.search(escaped) is None
    assert FORGE.search(html.unescape(escaped)) is None
    assert re.sub(r"&#x[0-9a-f]+;", "", escaped).count("&") == 0


@pytest.mark.parametrize(
    "text", ["sonnet-1 has 1 of 2 slots taken", "waits for a person: sign off", "about (30 %) done!"]
)
def test_plain_words_stay_as_they_are(text: str) -> None:
    """What nobody could take for anything else is not touched, names of agents least of all."""
    assert worded(text, 200) == text


def test_words_are_bounded() -> None:
    """On one line, cut with an ellipsis, and what is hidden in them is gone."""
    assert worded("a\nb\u200bc" + "z" * 20, 10) == "a bc" + "z" * 5 + "…"
    assert worded("#1", 10) == f"#{PARTING}1"


@given(pieces.map("".join))
def test_what_is_read_is_what_was_written(text: str) -> None:
    """A reader sees the same words: entities and partings do not show."""
    shown = html.unescape(worded(text, 500)).replace(PARTING, "")
    clean = "".join(char for char in text if char.isprintable() or char.isspace())
    assert shown == " ".join(clean.split())


def test_links_are_short_and_only_for_names() -> None:
    """In its own repository a number is enough; what is no name becomes no link."""
    assert linked("Acme/Widgets", 7, own="acme/widgets") == "#7"
    assert linked("Acme/API", 7, own="acme/widgets") == "Acme/API#7"
    assert linked("acme/x~9", 7, own="acme/widgets") == f"acme/x&#x7e;9#{PARTING}7"
