"""REST: a repository's labels and an issue's."""

from collections.abc import Callable

from coordinator.demo.forge.actions import Refused
from coordinator.demo.forge.model import Label, Repository
from coordinator.demo.forge.rest import NOT_FOUND, Answer, Call, Route, route

__all__ = ["LABEL_ROUTES"]

_REPO = "/repos/{owner}/{repo}/labels"
_ISSUE = "/repos/{owner}/{repo}/issues/{index}/labels"


# the repository's -------------------------------------------------------------------------------


def _list(call: Call) -> Answer:
    repo = call.repo()
    by_name = sorted(repo.labels.values(), key=lambda label: label.name)
    return call.listed(by_name, lambda label: call.shapes.label(repo, label))


def _create(call: Call) -> Answer:
    """A second label of the same name is made without a word."""
    repo, form = call.repo("write"), call.body("name", "color")
    label = call.do.add_label(
        repo,
        str(form["name"]),
        str(form["color"]),
        description=str(form.get("description") or ""),
        exclusive=bool(form.get("exclusive")),
    )
    return Answer(201, call.shapes.label(repo, label))


def _get(call: Call) -> Answer:
    repo = call.repo()
    return Answer(200, call.shapes.label(repo, _known(call, repo)))


def _delete(call: Call) -> Answer:
    repo = call.repo("write")
    if call.number("id") in repo.labels:
        call.do.delete_label(repo, _known(call, repo))
    return Answer(204)


def _known(call: Call, repo: Repository) -> Label:
    label = repo.labels.get(call.number("id"))
    if label is None:
        raise Refused(404, NOT_FOUND)
    return label


# the issue's ------------------------------------------------------------------------------------


def _of_issue(call: Call) -> Answer:
    repo = call.repo()
    found = call.data.labels_of(call.issue(repo))
    return Answer(200, [call.shapes.label(repo, label) for label in found])


def _add(call: Call) -> Answer:
    return _change(call, call.do.put_labels)


def _replace(call: Call) -> Answer:
    return _change(call, call.do.replace_labels)


def _change(call: Call, change: Callable[..., None]) -> Answer:
    repo = call.repo("write")
    issue = call.issue(repo)
    change(issue, _named(repo, call.body().get("labels") or []), by=call.doer)
    return _of_issue(call)


def _named(repo: Repository, wanted: list[object]) -> list[Label]:
    """Labels by all ids or all names; what nobody knows is left out without a word."""
    ids = [each for each in wanted if isinstance(each, int)]
    names = [each for each in wanted if isinstance(each, str)]
    if ids and names:
        raise Refused(400, "labels should be an array of strings or integers")
    if len(ids) + len(names) < len(wanted):
        raise Refused(400, "a label must be an integer or a string")
    known = repo.labels.values()
    return [label for label in known if label.id in ids or label.name in names]


def _clear(call: Call) -> Answer:
    call.do.clear_labels(call.issue(call.repo("write")), by=call.doer)
    return Answer(204)


def _remove(call: Call) -> Answer:
    """By id; a name is understood by Forgejo alone."""
    repo = call.repo("write")
    issue, label = call.issue(repo), repo.labels.get(call.number("id"))
    if label is None and call.dialect.deletes_labels_by_name:
        named = [each for each in repo.labels.values() if each.name == call.part["id"]]
        label = named[0] if named else None
    if label is None:
        raise Refused(422, f"label does not exist [label_id: {call.number('id')}]")
    call.do.take_label(issue, label, by=call.doer)
    return Answer(204)


LABEL_ROUTES: tuple[Route, ...] = (
    route("GET", _REPO, "issue", _list),
    route("POST", _REPO, "issue", _create),
    route("GET", _REPO + "/{id}", "issue", _get),
    route("DELETE", _REPO + "/{id}", "issue", _delete),
    route("GET", _ISSUE, "issue", _of_issue),
    route("POST", _ISSUE, "issue", _add),
    route("PUT", _ISSUE, "issue", _replace),
    route("DELETE", _ISSUE, "issue", _clear),
    route("DELETE", _ISSUE + "/{id}", "issue", _remove),
)
