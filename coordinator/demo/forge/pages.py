"""The pages people see in a browser: the issues of a repository, one issue with its comments, and what
became of the deliveries of its webhooks, which no product tells over its interface.

As little HTML as shows it. All text is somebody's, so all of it is escaped, and no page loads anything.
"""

import re
from collections.abc import Sequence
from html import escape

from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.model import Comment, Issue, Repository
from coordinator.demo.forge.plain_text import plain_lines
from coordinator.demo.forge.postman import Posted

__all__ = ["page_at"]

_HISTORY = re.compile(r"/(?P<repo>[^/]+/[^/]+)/settings/hooks/?")
# As many as the products show on a page.
_DELIVERIES = 10
_PATH = re.compile(r"/(?P<repo>[^/]+/[^/]+)/(?:issues|pulls)(?:/(?P<number>[0-9]{1,9}))?/?")
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:50em;margin:2em auto;padding:0 1em}"
    ".label{color:#fff;border-radius:1em;padding:.1em .7em;margin-right:.4em;text-shadow:0 0 3px #000}"
    "article{border:1px solid #ccc;border-radius:.4em;padding:0 1em;margin:1em 0}"
    "pre{white-space:pre-wrap;font:inherit}"
)


def page_at(data: ForgeData, path: str, history: Sequence[Posted] = ()) -> str | None:
    """The page at this path of the forge; None when there is none. `history`: all deliveries so far."""
    if path == "/":
        return _page("All repositories", "".join(map(_row_of_repo, data.repos.values())))
    settings = _HISTORY.fullmatch(path)
    if settings is not None:
        place = data.repository(settings["repo"])
        return None if place is None else _history(place, history)
    match = _PATH.fullmatch(path)
    repo = None if match is None else data.repository(match["repo"])
    if match is None or repo is None:
        return None
    if match["number"] is None:
        return _list(data, repo)
    issue = data.issue(repo, int(match["number"]))
    return None if issue is None else _issue(data, repo, issue)


def _list(data: ForgeData, repo: Repository) -> str:
    rows = "".join(
        f'<p><a href="{_href(repo)}/{issue.number}">#{issue.number} {escape(issue.title)}</a>'
        f" ({_state(issue)}) {_labels(data, issue)}</p>"
        for issue in data.issues_of(repo)
    )
    return _page(repo.full_name, rows)


def _history(repo: Repository, history: Sequence[Posted]) -> str:
    """The newest first."""
    own = [each for each in history if each.letter.repo.lower() == repo.full_name.lower()]
    rows = "".join(
        f"<p>hook {each.hook_id}: {escape(each.letter.event_type)} {escape(each.letter.action)}:"
        f" {each.outcome} {each.status or ''} {escape(each.error)}</p>"
        for each in own[: -_DELIVERIES - 1 : -1]
    )
    return _page(f"Deliveries of {repo.full_name}", rows or "<p>none yet</p>")


def _issue(data: ForgeData, repo: Repository, issue: Issue) -> str:
    assignees = ", ".join(issue.assignees) or "nobody"
    blockers = ", ".join(f"{data.repo_of(at).full_name}#{at.number}" for at in data.blockers_of(issue))
    comments = data.comments_of(issue)
    said = [(each.author, _text(each.body), _reactions(each)) for each in comments]
    articles = "".join(
        f"<article><p><b>{escape(who)}</b> {escape(reactions)}</p><pre>{escape(text)}</pre></article>"
        for who, text, reactions in [(issue.author, issue.body, ""), *said]
    )
    return _page(
        f"{repo.full_name}#{issue.number} {issue.title}",
        f'<p><a href="{_href(repo)}">all issues</a></p><p>{_state(issue)}, assigned to'
        f" {escape(assignees)} {_labels(data, issue)}</p>"
        + (f"<p>depends on {escape(blockers)}</p>" if blockers else "")
        + articles,
    )


def _reactions(comment: Comment) -> str:
    return " ".join(one.content for one in comment.reactions)


def _text(markdown: str) -> str:
    return "\n".join(plain_lines(markdown))


def _page(title: str, content: str) -> str:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>{content}</html>\n"
    )


def _row_of_repo(repo: Repository) -> str:
    return f'<p><a href="{_href(repo)}">{escape(repo.full_name)}</a></p>'


def _href(repo: Repository) -> str:
    return f"/{escape(repo.full_name, quote=True)}/issues"


def _state(issue: Issue) -> str:
    return "open" if issue.is_open else "closed"


def _labels(data: ForgeData, issue: Issue) -> str:
    return "".join(
        f'<span class="label" style="background:#{escape(label.color, quote=True)}">'
        f"{escape(label.name)}</span>"
        for label in data.labels_of(issue)
    )
