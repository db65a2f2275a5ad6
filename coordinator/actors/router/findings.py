"""What the router makes of what was read or listed at the forge: events, and what to read next."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from secrets import token_hex

from coordinator.actors.messages import Sighted, SightedReply, Sighting
from coordinator.actors.router.read_desk import TARGET, ReadDesk
from coordinator.actors.router.reading import Found
from coordinator.actors.router.sheet import Sheet
from coordinator.edges.gitea_remote_wire import Blockers
from coordinator.edges.gitea_wire import facts_of_issue
from coordinator.edges.journal import Draft, OrderDraft
from coordinator.rules.events import IssueObserved
from coordinator.rules.further_reads import contradicted, dependents, read_order, unknown_blockers
from coordinator.rules.ids import DeliveryId, IssueRef
from coordinator.rules.labels import our_labels
from coordinator.rules.orders import ReadIssue, ReadWhy
from coordinator.rules.reads import Read
from coordinator.rules.routing import KnownIssues, Routed
from coordinator.rules.sweeping import Look, look

__all__ = ["Findings"]


def _fresh_nonce() -> str:
    # As long as the sequence number of a delivery never gets, so that no two orders share a key.
    return f"r{token_hex(8)}"


class Findings:
    """Folds answers into what is known and writes what follows on a sheet."""

    def __init__(
        self, known: KnownIssues, desk: ReadDesk, nonce: Callable[[], str] = _fresh_nonce
    ) -> None:
        self.known = known
        self.desk = desk
        self.nonce = nonce

    def found(self, read: Read, found: Found, sheet: Sheet) -> Routed:
        """The issue as it was read. To be read as well: its unknown blockers, those it shows in a state
        that is news, and new dependents."""
        cause = self.desk.cause_of(read)
        for ends in (found.blockers, found.blocked):
            self._meet(ends, found, sheet, cause)
        facts, text = facts_of_issue(found.issue, found.blockers, found.read_at)
        by = read.by(self.known.logins)
        routed = self.known.read(facts, by, read.why, action=read.action)
        routed = _with_labels(routed, found)
        sheet.add(routed, cause, text)
        assert routed.issue is not None  # a read always finds its issue filed
        newest = self.known.facts[routed.issue]
        further = {*unknown_blockers(self.known, newest)}
        # Read for what waits for it, an issue leads no further: the sweep looks at the rest.
        if found.blockers is not None and read.why != "blocker":
            seen = {self._filed(end.repo_id, end.number): end.state for end in found.blockers.refs}
            further |= {*contradicted(self.known, newest, seen)}
        self.read_further(sorted(further), "blocker", sheet, cause)
        if found.blocked is not None:
            refs = [self._filed(end.repo_id, end.number) for end in found.blocked.refs]
            self.read_further(dependents(self.known, newest.ref, refs), "blocks", sheet, cause)
        return routed

    def sighted(self, call: Sighted, sheet: Sheet) -> SightedReply:
        """What a list shows: taken at its word, to be read, or nothing new."""
        looks: Counter[Look] = Counter()
        for item in call.items:
            looks[self._sighted(item, call, sheet)] += 1
        return SightedReply(looks["read"], looks["take"], looks["pass"])

    def read_further(
        self, refs: Iterable[IssueRef], why: ReadWhy, sheet: Sheet, cause: DeliveryId | None = None
    ) -> int:
        """Ask for reads of these issues, but for those that are asked for and not sent; how many."""
        orders = [
            read_order(self.known, ref, why, self.nonce()) for ref in refs if not self.desk.awaits(ref)
        ]
        drafts = [OrderDraft(order, TARGET, cause) for order in orders if order is not None]
        sheet.opened += drafts
        return len(drafts)

    def _sighted(self, item: Sighting, call: Sighted, sheet: Sheet) -> Look:
        facts, moved = self.known.place(item.facts)
        if moved is not None:
            sheet.events.append(Draft(moved))
        ref = facts.ref
        why: ReadWhy = "first" if call.is_first else "sweep"
        todo = look(facts, self.known.facts.get(ref), settled_before=call.settled_before)
        if todo == "take" and ref in self.known.deleted:
            todo = "read"  # the list may be of before the deletion; what is read is there
        if todo == "take":
            sheet.add(self.known.read(item.facts, None, why), None, item.text)
        elif todo == "read" and not self.desk.awaits(ref):
            order = ReadIssue(ref, facts.repo_id, facts.repo_name, why, self.nonce())
            sheet.opened.append(OrderDraft(order, TARGET))
        return todo

    def _meet(
        self, ends: Blockers | None, found: Found, sheet: Sheet, cause: DeliveryId | None
    ) -> None:
        """Learn what the repositories at the other ends are called now, so that names are theirs."""
        for end in ends.refs if ends is not None else ():
            learn = self.known.repositories.learn
            moved = learn(end.repo_id, end.repo, found.read_at, is_read=True)
            if moved is not None:
                sheet.events.append(Draft(moved, cause))

    def _filed(self, repo_id: int, number: int) -> IssueRef:
        repository = self.known.repositories.get(repo_id)
        assert repository is not None  # `_meet` has learnt it
        return IssueRef(repository.canonical, number)


def _with_labels(routed: Routed, found: Found) -> Routed:
    """What is told of the issue, with those labels of ours that it carries."""
    if not isinstance(routed.event, IssueObserved):
        return routed
    return replace(routed, event=replace(routed.event, our_labels=our_labels(found.issue.labels)))
