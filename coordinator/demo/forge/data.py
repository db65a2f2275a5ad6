"""The forge's tables: what exists, who may see it, and what time it is."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import sha1

from coordinator.demo.forge.model import (
    RANK,
    Access,
    Account,
    Comment,
    Hook,
    Issue,
    Label,
    Milestone,
    Repository,
    Token,
)

__all__ = ["ForgeData", "VirtualClock"]

# Ids of one table look unlike those of another, so that a mix-up shows.
_FIRST_IDS = {"account": 10, "repo": 40, "label": 55, "milestone": 300, "hook": 700}
_FIRST_IDS |= {"issue": 9_000, "comment": 50_000, "edge": 1}


@dataclass(slots=True)
class VirtualClock:
    """A clock that stands still until it is told."""

    now: datetime = datetime(2026, 7, 14, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass(slots=True)
class ForgeData:
    """All tables. Names and logins are found without regard to case, as the products do.

    All ids are above `ids_from`: forges that one coordinator hears need ids of their own.
    """

    clock: Callable[[], datetime]
    zone: tzinfo = UTC
    ids_from: int = 0
    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    repos: dict[int, Repository] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    # (blocked, blocker), ids of issues, in the order the edges were made
    edges: dict[tuple[int, int], int] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)
    _redirects: dict[str, int] = field(default_factory=dict)
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict)
    _last: dict[str, int] = field(default_factory=lambda: dict(_FIRST_IDS))

    def now(self) -> datetime:
        """The instant as the forge keeps it: whole seconds."""
        return self.clock().astimezone(UTC).replace(microsecond=0)

    def next_id(self, table: str) -> int:
        self._last[table] += 1
        return self.ids_from + self._last[table]

    # accounts -----------------------------------------------------------------------------------

    def add_account(
        self, login: str, *, is_admin: bool = False, owners: Iterable[str] | None = None
    ) -> Account:
        """A user, or with `owners` an organisation; one that exists is returned as it is."""
        known = self.accounts.get(login.lower())
        if known is None:
            people = {name.lower() for name in owners or ()}
            known = Account(self.next_id("account"), login, is_admin, owners is not None, people)
            self.accounts[login.lower()] = known
        return known

    def account(self, login: str) -> Account | None:
        return self.accounts.get(login.lower())

    def add_token(self, login: str, scopes: Iterable[str] = ("all",)) -> str:
        """A new token of the user: 40 hex digits, as the products' are."""
        account = self.add_account(login)
        seed = f"token:{login}:{len(self.tokens)}".encode()
        text = sha1(seed, usedforsecurity=False).hexdigest()
        self.tokens[text] = Token(text, account.login, frozenset(scopes))
        return text

    # repositories -------------------------------------------------------------------------------

    def add_repository(
        self,
        full_name: str,
        *,
        private: bool = True,
        collaborators: Mapping[str, Access] | None = None,
    ) -> Repository:
        """A repository; its owner and collaborators become users when they are not yet."""
        owner, _, name = full_name.partition("/")
        self.add_account(owner)
        for login in collaborators or ():
            self.add_account(login)
        people: dict[str, Access] = {k.lower(): v for k, v in (collaborators or {}).items()}
        repo = Repository(self.next_id("repo"), owner, name, private, collaborators=people)
        repo.created_at = self.now()
        self.repos[repo.id] = repo
        self._take_name(repo)
        return repo

    def repository(self, full_name: str) -> Repository | None:
        found = self._names.get(full_name.lower())
        return None if found is None else self.repos[found]

    def redirected(self, full_name: str) -> Repository | None:
        """The repository that once had this name, while nobody else has it."""
        found = self._redirects.get(full_name.lower())
        return None if found is None else self.repos.get(found)

    def rename(self, repo: Repository, full_name: str) -> None:
        """Rename, or transfer to another owner; the old name leads to the new one."""
        old = repo.full_name.lower()
        del self._names[old]
        self._redirects[old] = repo.id
        repo.owner, _, repo.name = full_name.partition("/")
        self.add_account(repo.owner)
        self._take_name(repo)

    def delete_repository(self, repo: Repository) -> None:
        for issue in list(self.issues_of(repo)):
            self.delete_issue(issue)
        for hook in [each for each in self.hooks.values() if each.level == "repository"]:
            if hook.owner_id == repo.id:
                del self.hooks[hook.id]
        del self._names[repo.full_name.lower()]
        del self.repos[repo.id]

    def _take_name(self, repo: Repository) -> None:
        name = repo.full_name.lower()
        assert name not in self._names, f"{name} is taken"
        self._names[name] = repo.id
        self._redirects.pop(name, None)

    def access(self, repo: Repository, login: str | None) -> Access:
        """What the user may do in the repository; None is somebody without an account."""
        floor: Access = "none" if repo.private else "read"
        account = None if login is None else self.account(login)
        if account is None:
            return floor
        owner = self.accounts[repo.owner.lower()]
        name = account.login.lower()
        if account.is_admin or name == owner.login.lower() or name in owner.owners:
            return "owner"
        return max(repo.collaborators.get(name, floor), floor, key=RANK.__getitem__)

    def may(self, repo: Repository, login: str | None, access: Access) -> bool:
        return RANK[self.access(repo, login)] >= RANK[access]

    # issues -------------------------------------------------------------------------------------

    def add_issue(self, issue: Issue) -> None:
        self.issues[issue.id] = issue
        self._numbers[issue.repo_id, issue.number] = issue.id

    def issue(self, repo: Repository, number: int) -> Issue | None:
        found = self._numbers.get((repo.id, number))
        return None if found is None else self.issues[found]

    def issues_of(self, repo: Repository) -> Iterator[Issue]:
        return (issue for issue in self.issues.values() if issue.repo_id == repo.id)

    def delete_issue(self, issue: Issue) -> None:
        """Gone, with its comments and its edges; its number is never used again."""
        del self.issues[issue.id]
        del self._numbers[issue.repo_id, issue.number]
        for edge in [edge for edge in self.edges if issue.id in edge]:
            del self.edges[edge]
        for comment in [each for each in self.comments.values() if each.issue_id == issue.id]:
            del self.comments[comment.id]

    def repo_of(self, issue: Issue) -> Repository:
        return self.repos[issue.repo_id]

    def labels_of(self, issue: Issue) -> list[Label]:
        """The issue's labels in the order the products show them: by name."""
        labels = self.repo_of(issue).labels
        return sorted((labels[each] for each in issue.label_ids), key=lambda label: label.name)

    def milestone_of(self, issue: Issue) -> Milestone | None:
        found = issue.milestone_id
        return None if found is None else self.repo_of(issue).milestones[found]

    def comments_of(self, issue: Issue) -> list[Comment]:
        """Oldest first."""
        return [each for each in self.comments.values() if each.issue_id == issue.id]

    # dependencies -------------------------------------------------------------------------------

    def blockers_of(self, issue: Issue) -> list[Issue]:
        """What blocks the issue: its own repository first, then the newest."""
        found = [self.issues[blocker] for blocked, blocker in self.edges if blocked == issue.id]
        return self._own_first(issue, found)

    def blocked_by(self, issue: Issue) -> list[Issue]:
        """What the issue blocks, in the same order."""
        found = [self.issues[blocked] for blocked, blocker in self.edges if blocker == issue.id]
        return self._own_first(issue, found)

    def _own_first(self, issue: Issue, others: list[Issue]) -> list[Issue]:
        newest = sorted(others, key=lambda each: (each.created_at, each.id), reverse=True)
        return sorted(newest, key=lambda each: each.repo_id != issue.repo_id)
