"""What can be done to issues and comments, and what the forge announces of it.

An action changes the tables and returns; announcements go out through `say`, in the product's own
order, at the moment the real ones build their payload. What the products forbid raises `Refused`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from coordinator.demo.forge.data import ForgeData
from coordinator.demo.forge.dialect import Dialect
from coordinator.demo.forge.model import Comment, Issue, Label, Milestone, Repository

__all__ = ["Actions", "Announcement", "Refused"]

_EVENT_TYPES = {
    "assigned": "assign",
    "unassigned": "assign",
    "label_updated": "label",
    "label_cleared": "label",
    "milestoned": "milestone",
    "demilestoned": "milestone",
}


@dataclass(frozen=True, slots=True)
class Announcement:
    """One thing hooks may hear of. `old` holds the former value of the edited `field`."""

    event_type: str
    action: str
    repo: Repository
    doer: str
    issue: Issue | None = None
    comment: Comment | None = None
    field: str = ""
    old: str = ""
    commit_id: str = ""


@dataclass
class Refused(Exception):
    """The forge will not; `status` is what its REST interface answers."""

    status: int
    message: str


@dataclass(slots=True)
class Actions:
    """The rules of one forge. `by` is the login of who acts; permission was checked before."""

    data: ForgeData
    dialect: Dialect
    say: Callable[[Announcement], None] = field(default=lambda _announcement: None)

    def lock(self, issue: Issue, *, is_locked: bool) -> None:
        """Nobody is told, but it shows in `updated_at`."""
        issue.is_locked = is_locked
        self._touch(issue)

    # the issue itself ---------------------------------------------------------------------------

    def open(
        self,
        repo: Repository,
        title: str,
        body: str = "",
        *,
        by: str,
        assignees: Sequence[str] = (),
        labels: Sequence[Label] = (),
        milestone: Milestone | None = None,
        is_pull: bool = False,
        number: int | None = None,
    ) -> Issue:
        """A new issue. Who is told first of its assignees, they or everybody, is the dialect's."""
        now = self.data.now()
        repo.last_number = repo.last_number + 1 if number is None else max(number, repo.last_number)
        index = repo.last_number if number is None else number
        author = self.data.add_account(by).login
        issue = Issue(
            self.data.next_id("issue"), repo.id, index, title, body, author, now, now, is_pull
        )
        self.data.add_issue(issue)
        for label in labels:
            self._put_on(issue, label)
        issue.milestone_id = None if milestone is None else milestone.id
        if self.dialect.assigned_before_opened:
            self._add_people(issue, assignees, by)
            self._announce_birth(issue, by)
        else:
            issue.assignees = [self.data.add_account(login).login for login in assignees]
            self._announce_birth(issue, by)
            for _ in issue.assignees:
                self._announce(issue, "assigned", by)
        return issue

    def _announce_birth(self, issue: Issue, by: str) -> None:
        self._announce(issue, "opened", by)
        if issue.label_ids:
            self._announce(issue, "label_updated", by)
        if issue.milestone_id is not None:
            self._announce(issue, "milestoned", by)

    def retitle(self, issue: Issue, title: str, *, by: str) -> None:
        old, issue.title = issue.title, title
        self._touch(issue)
        self._announce(issue, "edited", by, field="title", old=old)

    def rewrite(self, issue: Issue, body: str, *, by: str) -> None:
        old, issue.body = issue.body, body
        issue.content_version += 1
        self._touch(issue)
        self._announce(issue, "edited", by, field="body", old=old)

    def close(self, issue: Issue, *, by: str, commit: str = "") -> None:
        """412 while something that blocks it is open; an issue that blocks itself never closes."""
        if not issue.is_open:
            return
        if any(blocker.is_open for blocker in self.data.blockers_of(issue)):
            raise Refused(412, "cannot close this issue because it still has open dependencies")
        self._touch(issue)
        issue.closed_at = issue.updated_at
        self._announce(issue, "closed", by, commit_id=commit)

    def reopen(self, issue: Issue, *, by: str, commit: str = "") -> None:
        if issue.is_open:
            return
        issue.closed_at = None
        self._touch(issue)
        self._announce(issue, "reopened", by, commit_id=commit)

    def delete(self, issue: Issue, *, by: str) -> None:
        if self.dialect.tells_deletion:
            self._announce(issue, "deleted", by)
        self.data.delete_issue(issue)

    def set_milestone(self, issue: Issue, milestone: Milestone | None, *, by: str) -> None:
        wanted = None if milestone is None else milestone.id
        if issue.milestone_id == wanted:
            return
        issue.milestone_id = wanted
        self._touch(issue)
        self._announce(issue, "demilestoned" if wanted is None else "milestoned", by)

    # people -------------------------------------------------------------------------------------

    def assign(self, issue: Issue, logins: Iterable[str], *, by: str) -> None:
        """One announcement for each who was not yet assigned; none of them says who."""
        self._add_people(issue, logins, by)

    def unassign(self, issue: Issue, logins: Iterable[str], *, by: str) -> None:
        gone = {login.lower() for login in logins}
        for login in [name for name in issue.assignees if name.lower() in gone]:
            issue.assignees.remove(login)
            self._touch(issue)
            self._announce(issue, "unassigned", by)

    def replace_assignees(self, issue: Issue, logins: Sequence[str], *, by: str) -> None:
        """Exactly these: who is no longer wanted goes first."""
        wanted = {login.lower() for login in logins}
        self.unassign(issue, [n for n in issue.assignees if n.lower() not in wanted], by=by)
        self._add_people(issue, logins, by)

    def _add_people(self, issue: Issue, logins: Iterable[str], by: str) -> None:
        known = {name.lower() for name in issue.assignees}
        accounts = (self.data.add_account(login) for login in logins)
        fresh = [account.login for account in accounts if account.login.lower() not in known]
        if fresh:
            self._touch(issue)
        if not self.dialect.shows_growing_assignees:
            issue.assignees += fresh
        for login in fresh:
            if self.dialect.shows_growing_assignees:
                issue.assignees.append(login)
            self._announce(issue, "assigned", by)

    # labels -------------------------------------------------------------------------------------

    def add_label(self, repo: Repository, name: str, color: str, **kind: str | bool) -> Label:
        label = Label(
            self.data.next_id("label"),
            name,
            color.lstrip("#").lower(),
            str(kind.get("description", "")),
            bool(kind.get("exclusive", False)),
        )
        repo.labels[label.id] = label
        return label

    def delete_label(self, repo: Repository, label: Label) -> None:
        """Off every issue, silently."""
        del repo.labels[label.id]
        for issue in self.data.issues_of(repo):
            if label.id in issue.label_ids:
                issue.label_ids.remove(label.id)

    def put_labels(self, issue: Issue, labels: Iterable[Label], *, by: str) -> None:
        """Add labels; announced even when the issue had them all."""
        before = list(issue.label_ids)
        for label in labels:
            self._put_on(issue, label)
        if issue.label_ids != before:
            self._touch(issue)
        self._announce(issue, "label_updated", by)

    def replace_labels(self, issue: Issue, labels: Iterable[Label], *, by: str) -> None:
        wanted = list(labels)
        if not wanted:
            self.clear_labels(issue, by=by)
            return
        keep = {label.id for label in wanted}
        gone = [each for each in issue.label_ids if each not in keep]
        issue.label_ids = [each for each in issue.label_ids if each in keep]
        if gone:
            self._touch(issue)
        self.put_labels(issue, wanted, by=by)

    def take_label(self, issue: Issue, label: Label, *, by: str) -> None:
        if label.id in issue.label_ids:
            issue.label_ids.remove(label.id)
            self._touch(issue)
        self._announce(issue, "label_updated", by)

    def clear_labels(self, issue: Issue, *, by: str) -> None:
        if issue.label_ids:
            issue.label_ids = []
            self._touch(issue)
        self._announce(issue, "label_cleared", by)

    def _put_on(self, issue: Issue, label: Label) -> None:
        """An exclusive label drives out the others of its scope."""
        if label.id in issue.label_ids:
            return
        labels = self.data.repo_of(issue).labels
        if label.scope:
            siblings = {each.id for each in labels.values() if each.scope == label.scope}
            issue.label_ids = [each for each in issue.label_ids if each not in siblings]
        issue.label_ids.append(label.id)

    # comments -----------------------------------------------------------------------------------

    def comment(self, issue: Issue, text: str, *, by: str) -> Comment:
        author = self.data.add_account(by).login
        issue.comments += 1
        self._touch(issue)
        now = issue.updated_at
        comment = Comment(self.data.next_id("comment"), issue.id, author, text, now, now)
        self.data.comments[comment.id] = comment
        self._announce_comment(comment, "created", by)
        return comment

    def edit_comment(self, comment: Comment, text: str, *, by: str) -> None:
        """The issue's own updated_at stays as it is."""
        old, comment.body = comment.body, text
        comment.updated_at = self.data.now()
        self._announce_comment(comment, "edited", by, old=old)

    def delete_comment(self, comment: Comment, *, by: str) -> None:
        self.data.issues[comment.issue_id].comments -= 1
        del self.data.comments[comment.id]
        self._announce_comment(comment, "deleted", by)

    # dependencies -------------------------------------------------------------------------------

    def block(self, blocked: Issue, blocker: Issue) -> None:
        """An edge that no hook hears of. Only a duplicate and a direct two-cycle are refused: an
        issue may block itself, and longer cycles are never looked for."""
        if (blocked.id, blocker.id) in self.data.edges:
            raise Refused(500, "issue dependency does already exist")
        if blocked.id != blocker.id and (blocker.id, blocked.id) in self.data.edges:
            raise Refused(500, "circular dependencies exists (two issues blocking each other)")
        self.data.edges[blocked.id, blocker.id] = self.data.next_id("edge")
        self._touch(blocked)
        self._touch(blocker)

    def unblock(self, blocked: Issue, blocker: Issue) -> None:
        if (blocked.id, blocker.id) not in self.data.edges:
            raise Refused(500, "issue dependency does not exist")
        del self.data.edges[blocked.id, blocker.id]
        self._touch(blocked)
        self._touch(blocker)

    # telling ------------------------------------------------------------------------------------

    def _touch(self, issue: Issue) -> None:
        issue.updated_at = self.data.now()

    def _announce(
        self,
        issue: Issue,
        action: str,
        by: str,
        *,
        field: str = "",
        old: str = "",
        commit_id: str = "",
    ) -> None:
        part = _EVENT_TYPES.get(action)
        family = "pull_request" if issue.is_pull else "issue"
        event_type = f"{family}_{part}" if part else "pull_request" if issue.is_pull else "issues"
        doer = self.data.add_account(by).login
        repo = self.data.repo_of(issue)
        self.say(
            Announcement(event_type, action, repo, doer, issue, None, field, old, commit_id=commit_id)
        )

    def _announce_comment(self, comment: Comment, action: str, by: str, *, old: str = "") -> None:
        issue = self.data.issues[comment.issue_id]
        event_type = "pull_request_comment" if issue.is_pull else "issue_comment"
        repo, doer = self.data.repo_of(issue), self.data.add_account(by).login
        edited = "body" if action == "edited" else ""
        self.say(Announcement(event_type, action, repo, doer, issue, comment, edited, old))
