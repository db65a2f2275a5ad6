"""The grammar of dependency lines and front matter: what counts, what never does, and at what cost."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.rules.events import Metadata
from coordinator.rules.grammar import issue_text, parse_metadata, stated_edges, text_key_of
from coordinator.rules.ids import IssueRef
from coordinator.rules.metadata import MAX_ESTIMATE_TOKENS, MIN_ESTIMATE_TOKENS, clamp_metadata

OWN = IssueRef("acme/widgets", 1)
FORGE = "https://forge.example.org"


def blocked_by(body: str) -> list[str]:
    edges = stated_edges(issue_text("A title", body), OWN, forge_url=FORGE)
    return [str(ref).removeprefix("acme/widgets") for ref in edges.blocked_by]


def blocks(body: str) -> list[str]:
    edges = stated_edges(issue_text("A title", body), OWN, forge_url=FORGE)
    return [str(ref).removeprefix("acme/widgets") for ref in edges.blocks]


# dependency lines -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "refs"),
    [
        ("Blocked by: #12, org/repo#3", ["#12", "org/repo#3"]),
        ("Blocked by #12", ["#12"]),
        ("BLOCKED BY : #12", ["#12"]),
        ("blocked-by: #12", ["#12"]),
        ("blocked_by:#12", ["#12"]),
        ("Blocked by:acme/api#3", ["acme/api#3"]),
        ("Depends on: #12 and #13", ["#12", "#13"]),
        ("Depends on #12 & #13; #14 , and #15.", ["#12", "#13", "#14", "#15"]),
        ("Depends-On: Acme/API#7", ["acme/api#7"]),
        ("- Blocked by: #12", ["#12"]),
        ("* [x] depends on #12", ["#12"]),
        ("  + [ ] **Depends on** #12", ["#12"]),
        ("3. Blocked by: #12", ["#12"]),
        ("3) Blocked by: #12", ["#12"]),
        ("**Blocked by:** #12", ["#12"]),
        ("**Blocked by**: #12", ["#12"]),
        ("**Blocked by: #12**", ["#12"]),
        ("_Blocked by_ #12", ["#12"]),
        ("   Blocked by: #12", ["#12"]),
        ("Blocked by: #12\r", ["#12"]),
        ("Blocked by: #12 (the API), #13 (its docs)", ["#12", "#13"]),
        ("Blocked by: #12 because the API is missing", ["#12"]),
        ("Blocked by: #12 (see #99", ["#12"]),
        ("Blocked by: #12, #12, #012", ["#12"]),
        (f"Blocked by: {FORGE}/acme/widgets/issues/12", ["#12"]),
        (f"Depends on {FORGE}/Acme/API/issues/3/, #4", ["acme/api#3", "#4"]),
        (f"Blocked by: {FORGE.upper()}/acme/api/issues/3#issuecomment-55", ["acme/api#3"]),
        # not these
        ("Blocked by: none", []),
        ("Blocked by: see #12", []),
        ("Blocked by: #1", []),
        ("Blocked by: acme/widgets#1, #2", ["#2"]),
        ("Blocked by: #0, #2", ["#2"]),
        ("Blocked by: #12abc", []),
        ("Blocked by: #12-#14", []),
        ("Blocked by: #123456789012", []),
        ("Blocked by: a/b/c#3", []),
        ("Blocked by: #2#3", []),
        (f"Blocked by: {FORGE}/acme/api/pulls/3", []),
        ("Blocked by: https://elsewhere.example.org/acme/api/issues/3", []),
        (f"Blocked by: {FORGE}/acme/api/issues/3x", []),
        ("Blocked by", []),
        ("Blocked by #12 because the API is missing", []),
        ("Blocked bystanders #12", []),
        ("this is blocked by #12 because", []),
        ("This depends on #12", []),
        ("# Blocked by: #12", []),
        ("> Blocked by: #12", []),
        ("- > Blocked by: #12", []),
        ("    Blocked by: #12", []),
        ("\tBlocked by: #12", []),
        ("`Blocked by: #12`", []),
        ("~~Blocked by: #12~~", []),
        ("<!-- Blocked by: #12 -->", []),
        ("Blocked by: <!-- #12 --> none", []),
    ],
)
def test_a_line_states_its_references(line: str, refs: list[str]) -> None:
    """A dependency line gives the references it states, anything else none."""
    assert blocked_by(line) == refs
    assert blocked_by(f"Some text.\n\n{line}\nMore text.") == refs


@pytest.mark.parametrize(
    ("line", "refs"),
    [
        ("Blocks: #12, a/b#1", ["a/b#1", "#12"]),
        ("blocks #12", ["#12"]),
        ("Blocks #3 of memory are lost", []),
    ],
)
def test_the_other_direction_has_its_own_word(line: str, refs: list[str]) -> None:
    """`Blocks` names the issues that wait for this one, and prose that starts with it does not."""
    assert blocks(line) == refs
    assert blocked_by(line) == []


@pytest.mark.parametrize(
    ("body", "refs"),
    [
        ("```\nBlocked by: #2\n```\nBlocked by: #3", ["#3"]),
        ("~~~text\nBlocked by: #2\n```\nBlocked by: #4\n~~~\nBlocked by: #3", ["#3"]),
        ("````\nBlocked by: #2\n```\nBlocked by: #4\n`````\nBlocked by: #3", ["#3"]),
        ("```\nBlocked by: #2\n``` not the end\nBlocked by: #3", []),
        ("```\nBlocked by: #2", []),
        ("``` inline ``` code\nBlocked by: #3", ["#3"]),
        ("<!--\nBlocked by: #2\n-->\nBlocked by: #3", ["#3"]),
        ("<!-- a --><!-- b\nBlocked by: #2 --> \nBlocked by: #3", ["#3"]),
        ("<!--\n```\n-->\nBlocked by: #3", ["#3"]),
        ("<!-- -->Blocked by: #3", ["#3"]),
        ("<!-- never closed\nBlocked by: #2", []),
        ("Write `<!--` to begin\nBlocked by: #3", ["#3"]),
        ("A lone ` here <!-- and\nBlocked by: #2\n-->", []),
        ("> ```\nBlocked by: #3", ["#3"]),
        ("Blocked by: #3\r\nBlocks: #4\r\n", ["#3"]),
        ("", []),
    ],
)
def test_code_comments_and_quotes_do_not_count(body: str, refs: list[str]) -> None:
    """Lines inside fences and HTML comments are skipped, and what merely looks like one is not."""
    assert blocked_by(body) == refs


def test_the_title_does_not_count() -> None:
    """A title that reads like a dependency line states nothing, even one sent with a line break."""
    assert stated_edges(issue_text("Blocked by: #2", ""), OWN).blocked_by == ()
    assert stated_edges(issue_text("T\n\nBlocked by: #2", "Blocks: #3"), OWN).blocked_by == ()


def test_addresses_count_only_on_the_own_forge() -> None:
    """Without knowing where the forge lives, a full address is no reference."""
    text = issue_text("t", f"Blocked by: {FORGE}/a/b/issues/2")
    assert stated_edges(text, OWN).blocked_by == ()
    assert stated_edges(text, OWN, forge_url=FORGE + "/").blocked_by == (IssueRef("a/b", 2),)


def test_at_most_a_hundred_of_a_kind() -> None:
    """Of more references the first hundred count."""
    body = "\n".join(f"Blocked by: #{n}" for n in range(2, 500))
    assert stated_edges(issue_text("t", body), OWN).blocked_by == tuple(
        IssueRef(OWN.repo, n) for n in range(2, 102)
    )


def test_the_far_end_of_a_huge_body_does_not_count() -> None:
    """Lines past the first 200,000 characters are not read."""
    assert blocked_by("x" * 199_000 + "\nBlocked by: #2") == ["#2"]
    assert blocked_by("x" * 200_000 + "\nBlocked by: #2") == []


# front matter -----------------------------------------------------------------------------------


def parse(body: str, title: str = "Fix the parser") -> Metadata:
    return parse_metadata(issue_text(title, body), OWN)


def test_front_matter_states_everything() -> None:
    """Every documented key is read, in the documented notations."""
    metadata = parse(
        "---\r\nestimated-context-tokens: 60_000\r\nDifficulty: HARD\r\nagent: 'sonnet-1'\r\n"
        'blocked_by: [#12, "acme/api#3"]\r\nblocks:\r\n  - "#14"\r\n  - a/b#2\r\n'
        'summary: "Do it: well"\r\nunknown: x\r\nno key\r\n---\r\nBlocked by: #13\r\n'
    )
    assert metadata == Metadata(
        estimated_context_tokens=60_000,
        difficulty="hard",
        suggested_agent="sonnet-1",
        blocks=(IssueRef("a/b", 2), IssueRef("acme/widgets", 14)),
        blocked_by=(IssueRef("acme/widgets", 12), IssueRef("acme/widgets", 13)),
        summary="Do it: well",
        confidence=0.8,
    )


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("60000", 60_000),
        ("60k", 60_000),
        ("60 K", 60_000),
        ("120,000", 120_000),
        ("5", MIN_ESTIMATE_TOKENS),
        ("999999999999999", MAX_ESTIMATE_TOKENS),
        ("-5", 30_000),
        ("1e6", 30_000),
        ("٣٠", 30_000),
        ("", 30_000),
    ],
)
def test_stated_estimates_are_clamped(value: str, tokens: int) -> None:
    """A number is taken and clamped; what is none falls back to the guess by size."""
    seen = parse(f"---\nestimated_context_tokens: {value}\n---").estimated_context_tokens
    assert seen == tokens or tokens <= seen <= tokens + 250 == 30_250


@pytest.mark.parametrize(
    "body",
    [
        "text\n---\ndifficulty: hard\n---",
        "---\ndifficulty: hard\n",
        "--- \n" + "x: y\n" * 400 + "difficulty: hard\n---",
        "---- \ndifficulty: hard\n---",
        "---x\ndifficulty: hard\n---",
        "---\nundifficulty: hard\n---",
    ],
)
def test_what_is_no_front_matter_is_text(body: str) -> None:
    """Front matter stands at the very beginning, is closed, and is not endless."""
    assert parse(body).difficulty == "medium"


def test_the_first_of_two_equal_keys_counts() -> None:
    """A key given again changes nothing, nor do the items under it."""
    metadata = parse("---\nblocks: #2\nblocks: #3\n- #4\ndifficulty: easy\ndifficulty: hard\n---")
    assert metadata.blocks == (IssueRef(OWN.repo, 2),)
    assert metadata.difficulty == "easy"


def test_items_before_any_key_are_nothing() -> None:
    """List items that belong to no key are left alone."""
    assert parse("---\n- #4\ndifficulty: easy\n---").blocked_by == ()


def test_a_byte_order_mark_is_no_text() -> None:
    """Front matter behind a byte order mark is front matter."""
    assert parse("\ufeff---\ndifficulty: easy\n---").difficulty == "easy"


# the rules parser -------------------------------------------------------------------------------


def test_defaults_are_documented() -> None:
    """A plain text gives the documented guesses and a low confidence."""
    metadata = parse("Please fix it.")
    assert metadata == Metadata(30_000 + int(30 * 2.5), "medium", None, (), (), "Fix the parser", 0.2)
    assert parse("x" * 1_000_000).estimated_context_tokens == 60_000
    assert parse("---\ndifficulty: easy\n---").confidence == 0.2


def test_a_text_has_one_key() -> None:
    """The key is the SHA-256 of the text, and the title is one line of it."""
    assert issue_text("a\nb", "c") == "a b\n\nc"
    assert text_key_of("a b\n\nc") == sha256(b"a b\n\nc").hexdigest()


KEYWORDS = ["Blocked by", "depends on", "Blocks", "and", "difficulty: hard", ":", ","]
REFERENCES = ["#1", "#12", "a/b#3", FORGE, "/issues/4", "(", ")"]
MARKUP = ["`", "```", "~~~", "<!--", "-->", "> ", "- ", "**", "_", "---\n", " ", "\n", "\r\n"]
PIECES = st.sampled_from([*KEYWORDS, *REFERENCES, *MARKUP])


@given(st.text() | st.lists(PIECES, max_size=30).map("".join), st.text(max_size=20))
def test_any_text_is_read(body: str, title: str) -> None:
    """Whatever the text, the answer is inside the bounds and never names the issue itself."""
    text = issue_text(title, body)
    metadata = parse_metadata(text, OWN, forge_url=FORGE)
    assert metadata == clamp_metadata(metadata, OWN)
    assert OWN not in metadata.blocks + metadata.blocked_by
    edges = stated_edges(text, OWN, forge_url=FORGE)
    assert (edges.blocked_by, edges.blocks) == (metadata.blocked_by, metadata.blocks)


HOSTILE_LINES = ["Blocked by: #2\n", "\n", "```\n", "---\n", "x:y\n", "- #1\n"]
HOSTILE_WORDS = ["blocks: #2 (", "- ", "blocks", "and", "#2 ", "# ", "blocked ", "blocks: a/b#", "#2("]
HOSTILE_MARKUP = ["`<!--", "<!--", "<!---->", "*", "a/", "(", "`", "~", "9", "_"]


@pytest.mark.parametrize("unit", [*HOSTILE_LINES, *HOSTILE_WORDS, *HOSTILE_MARKUP])
@pytest.mark.parametrize(
    "prefix", ["", "blocks: ", "Blocked by: #2 ", "---\n", "---\nblocks: ", "- [x] **", "`blocks"]
)
def test_hostile_texts_are_read_in_linear_time(prefix: str, unit: str) -> None:
    """A text at the size limit, any unit repeated, is read at once; quadratic work would hang."""
    parse_metadata(issue_text("t", prefix + unit * (200_000 // len(unit))), OWN, forge_url=FORGE)
