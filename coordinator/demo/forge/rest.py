"""The REST interface's frame: routes, tokens and scopes, paging, refusals in the products' words."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote

from coordinator.demo.forge.actions import Actions, Refused
from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.dialect import Dialect
from coordinator.demo.forge.model import Access, Issue, Repository, Token
from coordinator.demo.forge.postman import Postman
from coordinator.demo.forge.shapes import Json, Shapes

__all__ = [
    "DEFAULT_ITEMS",
    "MAX_ITEMS",
    "NOT_FOUND",
    "Answer",
    "Call",
    "Rest",
    "Route",
    "Scope",
    "route",
]

# [api] DEFAULT_PAGING_NUM and MAX_RESPONSE_ITEMS of both products.
DEFAULT_ITEMS = 30
MAX_ITEMS = 50

NOT_FOUND = "The target couldn't be found."
# What a body's fields must be; others are not looked at.
_FIELDS: dict[str, type] = {
    **dict.fromkeys(("title", "body", "state", "assignee", "name", "color", "description"), str),
    **dict.fromkeys(("owner", "repo", "content", "type", "branch_filter"), str),
    **dict.fromkeys(("assignees", "labels", "events"), list),
    **dict.fromkeys(("milestone", "content_version", "index"), int),
    **dict.fromkeys(("active", "closed", "exclusive"), bool),
    "config": dict,
}
# The categories of token scopes an operation needs, joined by +.
Scope = Literal["", "issue", "repository", "user", "user+repository", "organization", "admin"]


@dataclass(slots=True)
class Answer:
    """What goes back; `body` None sends none."""

    status: int = 200
    body: object = None
    headers: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Call:
    """One request that found its route; `part` are the named pieces of its path."""

    forge: "Rest"
    method: str
    path: str
    query: dict[str, str]
    login: str | None
    part: dict[str, str]
    raw: bytes
    # "repos" or "issues" where the token may see none but public ones, else "".
    public_only: str = ""

    @property
    def data(self) -> ForgeData:
        return self.forge.data

    @property
    def do(self) -> Actions:
        return self.forge.actions

    @property
    def shapes(self) -> Shapes:
        return self.forge.shapes

    @property
    def dialect(self) -> Dialect:
        return self.forge.actions.dialect

    @property
    def doer(self) -> str:
        """Who asks; 401 for somebody without a token."""
        if self.login is None:
            raise Refused(401, "token is required")
        return self.login

    def body(self, *required: str) -> Json:
        """The JSON object sent; 422 when it is none, or a required field is missing or empty."""
        try:
            value = json.loads(self.raw or b"{}")
        except ValueError as error:
            raise Refused(422, f"{error}") from None
        if not isinstance(value, dict):
            raise Refused(422, "json: cannot unmarshal into Go value")
        for name, given in value.items():
            wanted = _FIELDS.get(name)
            if given is not None and wanted is not None and type(given) is not wanted:
                raise Refused(422, f"json: cannot unmarshal into Go struct field {name}")
        for name in required:
            if not value.get(name):
                raise Refused(422, f"[{name.title()}]: Required")
        return value

    # what the path names ------------------------------------------------------------------------

    def repo(self, access: Access = "read") -> Repository:
        """The repository of the path: 404 for a missing one and one that may not be read alike,
        403 when it may be read and more is needed."""
        name = f"{self.part['owner']}/{self.part['repo']}"
        found = self.data.repository(name)
        if found is None:
            moved = self.data.redirected(name)
            if moved is not None:
                raise _Moved(self._moved_to(moved))
        if found is None or not self.data.may(found, self.login, "read"):
            raise Refused(404, NOT_FOUND)
        if self.public_only and found.private:
            raise Refused(403, f"token scope is limited to public {self.public_only}")
        if not self.data.may(found, self.login, access):
            raise Refused(403, _needs(access))
        return found

    def sees(self, repo: Repository) -> bool:
        """Whether a list of repositories, or of what is in them, shows this one."""
        return self.data.may(repo, self.login, "read") and not (self.public_only and repo.private)

    def issue(self, repo: Repository) -> Issue:
        found = self.data.issue(repo, self.number("index"))
        if found is None or not (repo.has_issues or found.is_pull):
            raise Refused(404, NOT_FOUND)
        return found

    def number(self, name: str) -> int:
        """A numeric piece of the path; 0, which names nothing, when it is no number."""
        text = self.part[name]
        return int(text) if text.isascii() and text.isdigit() else 0

    def _moved_to(self, repo: Repository) -> str:
        old = f"{self.part['owner']}/{self.part['repo']}"
        return self.path.replace(old, quote(repo.full_name), 1)

    # paging and times ---------------------------------------------------------------------------

    def page(self) -> tuple[int, int]:
        """(page, size): from 1, and clamped without a word."""
        size = self.query_number("limit")
        size = DEFAULT_ITEMS if size <= 0 else min(size, MAX_ITEMS)
        return max(self.query_number("page"), 1), size

    def query_number(self, name: str) -> int:
        text = self.query.get(name, "")
        return int(text) if text.isascii() and text.isdigit() else 0

    def listed(self, items: Sequence[Any], shape: Callable[[Any], object]) -> Answer:
        """One page of the items, with the headers that tell how many there are."""
        page, size = self.page()
        shown = [shape(item) for item in items[(page - 1) * size : page * size]]
        return Answer(200, shown, self.count_headers(len(items)))

    def count_headers(self, total: int) -> list[tuple[str, str]]:
        page, size = self.page()
        last = max(-(-total // size), 1)
        places = {"next": page + 1, "last": last, "first": 1, "prev": page - 1}
        wanted = {"next": page < last, "last": page < last, "first": page > 1, "prev": page > 1}
        links = [f'<{self._at(places[rel])}>; rel="{rel}"' for rel in places if wanted[rel]]
        headers = [("X-Total-Count", str(total))]
        return [("Link", ",".join(links)), *headers] if links else headers

    def _at(self, page: int) -> str:
        query = "&".join(f"{k}={quote(v)}" for k, v in {**self.query, "page": str(page)}.items())
        return f"{self.shapes.url}{self.path}?{query}"

    def instant(self, name: str) -> datetime | None:
        """A time of the query, 422 unless RFC 3339: an offset whose + was not encoded is a blank."""
        text = self.query.get(name)
        if not text:
            return None
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise Refused(422, f'parsing time "{text}"') from None
        if at.tzinfo is None:
            raise Refused(422, f'parsing time "{text}"')
        return at.replace(microsecond=0)


class _Moved(Exception):
    """The repository has another name now."""


Respond = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `scope` is the token's category; GET needs read of it, all else write."""

    method: str
    template: str
    scope: Scope
    respond: Respond
    pattern: re.Pattern[str]

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"


def route(method: str, template: str, scope: Scope, respond: Respond) -> Route:
    """A route whose {names} match one piece of a path each."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))
    return Route(method, template, scope, respond, pattern)


def _needs(access: Access) -> str:
    if access == "admin":
        return "user should be an owner or a collaborator with admin write of a repository"
    return "user should have a permission to write to a repo"


def _limit(token: Token | None, at: Route) -> str:
    if token is None or "public-only" not in token.scopes:
        return ""
    return "issues" if at.scope == "issue" else "repos"


class Rest:
    """The whole interface of one forge: a request in, an answer out, without waiting."""

    def __init__(
        self, actions: Actions, shapes: Shapes, postman: Postman, routes: Sequence[Route]
    ) -> None:
        # [service] ALLOW_CROSS_REPOSITORY_DEPENDENCIES
        self.across_repositories = True
        self.data = actions.data
        self.actions = actions
        self.shapes = shapes
        self.postman = postman
        self._routes: dict[tuple[str, int], list[Route]] = {}
        for each in routes:
            self._routes.setdefault((each.method, each.template.count("/")), []).append(each)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route of a request, and the pieces of its path."""
        if not path.startswith("/api/v1/"):
            return None
        place = path.removeprefix("/api/v1")
        for each in self._routes.get((method, place.count("/")), ()):
            match = each.pattern.fullmatch(place)
            if match is not None:
                return each, {name: unquote(text) for name, text in match.groupdict().items()}
        return None

    def respond(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> Answer:
        """The answer to one request; `headers` with names in lower case."""
        path, _, query = target.partition("?")
        found = self.find(method, path)
        login: str | None = None
        try:
            if found is None:
                raise Refused(404, NOT_FOUND)
            at, part = found
            token = self._token(headers.get("authorization", ""), at)
            login = None if token is None else token.login
            fields = {k: v[-1] for k, v in parse_qs(query, keep_blank_values=True).items()}
            limit = _limit(token, at)
            return at.respond(Call(self, method, path, fields, login, part, raw, limit))
        except _Moved as moved:
            where = f"{moved}?{query}" if query else str(moved)
            return Answer(301, None, [("Location", where)])
        except Refused as refused:
            return self._refusal(refused, login)

    def _token(self, authorization: str, at: Route) -> Token | None:
        kind, _, text = authorization.partition(" ")
        if not authorization:
            return None
        token = self.data.tokens.get(text.strip()) if kind.lower() in ("token", "bearer") else None
        if token is None:
            raise Refused(401, "invalid username, password or token")
        for category in filter(None, at.scope.split("+")):
            self._require_scope(token.scopes, at.method, category)
        return token

    def _require_scope(self, scopes: frozenset[str], method: str, category: str) -> None:
        wanted = f"{'read' if method == 'GET' else 'write'}:{category}"
        if not scopes & {"all", wanted, f"write:{category}"}:
            text = f"token does not have at least one of required scope(s): [{wanted}]"
            if self.actions.dialect.product == "gitea":
                shown = ",".join(sorted(scopes))
                text = text.replace("): [", "), required=[") + f", token scope={shown}"
            raise Refused(403, text)

    def _refusal(self, refused: Refused, login: str | None) -> Answer:
        account = None if login is None else self.data.account(login)
        # What went wrong inside is told to the site's admins alone.
        is_told = refused.status != 500 or (account is not None and account.is_admin)
        message = refused.message if is_told else ""
        body: Json = {"message": message, "url": f"{self.shapes.url}/api/swagger"}
        if refused.status == 404 and self.actions.dialect.product == "forgejo":
            body["errors"] = []
        return Answer(refused.status, body)
