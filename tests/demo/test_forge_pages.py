"""The forge's pages for a browser, and the plain text of comments."""

import httpx
import pytest

from coordinator.demo.forge.plain_text import plain_lines
from coordinator.rules.comment import render
from tests.fakes.forge import REPO, furnish, open_forge
from tests.rules.builders import view


@pytest.mark.parametrize(
    ("markdown", "lines"),
    [
        ("", []),
        ("<!-- hidden -->\n**Ready** · now", ["Ready · now"]),
        ("| | |\n| --- | --- |\n| Next | soon |", ["Next: soon"]),
        ("<details><summary>More</summary>a\nb</details>", ["▸ More"]),
        ("see <code>x</code> &#x2a; @\u200bmaria", ["see x * @maria"]),
        ("a < b", ["a < b"]),
    ],
)
def test_markdown_becomes_lines(markdown: str, lines: list[str]) -> None:
    """Markers, tables and folded parts are read as a person would."""
    assert plain_lines(markdown) == lines


def test_our_own_comment_reads_well() -> None:
    """No markup is left of what the coordinator writes."""
    text = "\n".join(plain_lines(render(view(state="blocked", evidence="waits")).body))
    assert text.startswith("Blocked · waits")
    assert not set(text) & set("<>*`")


async def test_pages_show_issues_and_escape_what_people_wrote() -> None:
    """Repositories, lists and issues have pages; other paths have none; no text becomes markup."""
    async with open_forge() as forge, httpx.AsyncClient(base_url=forge.url, trust_env=False) as http:
        furnish(forge)
        first = forge.open(REPO, "Rows <b>are</b> lost", "all & any", assignees=["maria"])
        second = forge.open(REPO, "Other")
        forge.block(second, first)
        forge.set_labels(first, "kind/bug")
        forge.comment(first, "**look** <script>x</script>")
        page = await http.get(f"/{REPO}/issues/1")
        assert page.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for words in ("Rows &lt;b&gt;are&lt;/b&gt; lost", "all &amp; any", "kind/bug", "look", "maria"):
            assert words in page.text
        assert "<script>" not in page.text
        assert f"depends on {REPO}#1" in (await http.get(f"/{REPO}/issues/2")).text
        assert "#2 Other" in (await http.get(f"/{REPO}/issues")).text
        assert REPO in (await http.get("/")).text
        missing = (f"/{REPO}/issues/9", "/acme/nothing/issues", "/somewhere", "/a/b/settings/hooks")
        for path in missing:
            assert (await http.get(path)).status_code == 404


async def test_a_page_shows_what_became_of_the_deliveries() -> None:
    """The ten newest of the repository, with the reason of those that failed."""
    async with (
        open_forge(allowed_hosts="external") as forge,
        httpx.AsyncClient(base_url=forge.url, trust_env=False) as http,
    ):
        furnish(forge)
        forge.repository("acme/other")
        assert "none yet" in (await http.get(f"/{REPO}/settings/hooks")).text
        hook = forge.hook(None, "http://127.0.0.1:1/in", "example-secret-not-real")
        forge.open("acme/other", "elsewhere")
        for _ in range(12):
            forge.open(REPO, "t")
        await forge.wait_quiet()
        page = (await http.get(f"/{REPO}/settings/hooks")).text
        assert page.count(f"hook {hook.id}: issues opened: failed") == 10
        assert "deny &#x27;127.0.0.1(127.0.0.1)&#x27;" in page
