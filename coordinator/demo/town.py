"""The demo's forge: who lives there, what they do to the story's issues, and what its pages show."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from coordinator.actors.clocks import utc_now
from coordinator.demo.forge import Forge, Issue, Posted
from coordinator.demo.story import ISSUES, Assign, Block, Close, Lost, Open, Say, Unassign
from coordinator.edges.gitea import Forge as ForgeClient
from coordinator.rules.comment import is_sticky
from coordinator.rules.ids import IssueRef
from coordinator.rules.labels import is_ours

__all__ = ["BOT", "Deed", "QuickClock", "Town"]

BOT = "coordinator-bot"
_REPOSITORIES = ("acme/widgets", "acme/gadgets")
_ACCOUNTS = ("maria", "coder-bot", "claude-haiku", "claude-sonnet", "claude-opus")
# As `hook install` asks for.
_EVENTS = ("issues", "issue_comment")
# So far back that a demo never catches up with the present.
_BACK = timedelta(days=1)

Deed = Open | Assign | Unassign | Close | Block | Say


@dataclass(slots=True)
class QuickClock:
    """The forge's clock: from a day ago on, `speed` times as fast as ours, but never ahead of it."""

    speed: float
    _began: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        now = utc_now()
        return min(self._began - _BACK + (now - self._began) * self.speed, now)


@dataclass(slots=True)
class Town:
    """The people of the forge. What they do is announced by the forge itself, in its own order."""

    forge: Forge
    token: str = ""
    hooks: dict[str, int] = field(default_factory=dict)

    def furnish(self) -> None:
        """Public repositories with people in them: rita may only read."""
        for name in _REPOSITORIES:
            people = dict.fromkeys(_ACCOUNTS, "write")
            access = {**people, BOT: "admin", "rita": "read"}
            self.forge.repository(name, private=False, collaborators=access)  # type: ignore[arg-type]
        self.token = self.forge.token(BOT)

    async def install_hooks(self, url: str, secret: str) -> None:
        """As an operator would: with our own client, under the coordinator's account."""
        async with self.client() as client:
            for name in _REPOSITORIES:
                hook = await client.create_hook(("repo", name), f"{url}/webhook/gitea", secret, _EVENTS)
                self.hooks[name] = hook.id

    async def test_hook(self) -> None:
        """The button "Test delivery" of the first repository."""
        name = _REPOSITORIES[0]
        async with self.client() as client:
            await client.test_hook(name, self.hooks[name])

    def client(self) -> ForgeClient:
        return ForgeClient(self.forge.url, self.token, trust_env=False)

    # what people do -----------------------------------------------------------------------------

    def do(self, deed: Deed | Lost) -> Sequence[Posted]:
        """It happens; the deliveries it caused, still under way."""
        before = len(self.forge.deliveries)
        if isinstance(deed, Lost):
            self.forge.postman.faults.next("lose")
            self._do(deed.act)
        else:
            self._do(deed)
        return self.forge.deliveries[before:]

    def _do(self, deed: Deed) -> None:
        match deed:
            case Open(ref, login):
                self._open(ref, login)
            case Assign(ref, login):
                self.forge.assign(self.issue(ref), login)
            case Unassign(ref, login):
                self.forge.unassign(self.issue(ref), login)
            case Close(ref):
                self.forge.close(self.issue(ref))
            case Block(ref, blocker):
                self.forge.block(self.issue(ref), self.issue(blocker))
            case Say(ref, text, by):
                self.forge.comment(self.issue(ref), text, by=by)

    def _open(self, ref: IssueRef, login: str) -> None:
        story = ISSUES[ref]
        do = partial(self.forge.open, ref.repo, story.title, story.body, labels=story.labels)
        issue = do(assignees=[login] if login else [])
        assert issue.number == ref.number, f"{ref} was opened as #{issue.number}"

    # what everybody can see ---------------------------------------------------------------------

    def issue(self, ref: IssueRef) -> Issue:
        found = self.forge.data.issue(self.forge.repository(ref.repo), ref.number)
        assert found is not None, f"{ref} was not opened yet"
        return found

    def labels(self, ref: IssueRef) -> list[str]:
        """Those the coordinator put there."""
        names = (label.name for label in self.forge.data.labels_of(self.issue(ref)))
        return [name for name in names if is_ours(name)]

    def stickies(self, ref: IssueRef) -> list[str]:
        """The coordinator's own comments that are kept up to date; there should be one."""
        comments = self.forge.data.comments_of(self.issue(ref))
        return [each.body for each in comments if each.author == BOT and is_sticky(each.body)]

    def page(self, ref: IssueRef) -> str:
        return f"{self.forge.url}/{ref.repo}/issues/{ref.number}"
