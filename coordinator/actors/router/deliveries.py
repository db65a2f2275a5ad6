"""What follows from one delivery: with a forge token a read, without one what the payload says."""

from coordinator.actors.router.read_desk import TARGET
from coordinator.actors.router.sheet import Sheet
from coordinator.edges.gitea_wire import Ignored, IssueDelivery, facts_of_issue, parse_delivery
from coordinator.edges.journal import OrderDraft, StoredDelivery
from coordinator.errors import PayloadInvalid
from coordinator.rules.commands import is_command
from coordinator.rules.facts import IssueFacts
from coordinator.rules.ids import Login
from coordinator.rules.orders import LookAgain, ReadIssue, RunCommand
from coordinator.rules.routing import KnownIssues, Routed

__all__ = ["Deliveries"]

# Who carries commands out.
SCRIBE = "scribe"


class Deliveries:
    """Writes on a sheet what follows from a delivery. `own` is our account's login once it is known."""

    def __init__(self, known: KnownIssues) -> None:
        self.known = known
        self.own: Login | None = None

    def hint(self, delivery: StoredDelivery, sheet: Sheet) -> Routed:
        """Have the issue read. Outcomes: read, own (our own echo), pruned, invalid, ignored."""
        parsed = _understood(delivery)
        if isinstance(parsed, Routed):
            return parsed
        self.known.heard.add(parsed.issue.repo_id)
        facts, moved = self.known.place(facts_of_issue(parsed.issue)[0])
        if self.known.is_quiet(facts, parsed.action, parsed.sender, self.own):
            routed = Routed("own", f"our own {parsed.action}", issue=facts.ref, moved=moved)
        else:
            self._ask(delivery, parsed, facts, sheet)
            routed = Routed("read", "to be read at the forge", issue=facts.ref, moved=moved)
        sheet.add(routed, delivery.id, "")
        return routed

    def trust(self, delivery: StoredDelivery, sheet: Sheet) -> Routed:
        """Believe the payload. Outcomes as of `KnownIssues.route`, or pruned, invalid, ignored."""
        parsed = _understood(delivery)
        if isinstance(parsed, Routed):
            return parsed
        self.known.heard.add(parsed.issue.repo_id)
        facts, text = facts_of_issue(parsed.issue)
        routed = self.known.route(facts, parsed.action, parsed.sender, deleted=parsed.is_deletion)
        sheet.add(routed, delivery.id, text)
        return routed

    def _ask(
        self, delivery: StoredDelivery, parsed: IssueDelivery, facts: IssueFacts, sheet: Sheet
    ) -> None:
        place = (facts.ref, facts.repo_id, facts.repo_name)
        nonce = str(delivery.seq)
        order = ReadIssue(*place, "delivery", nonce, parsed.action, parsed.sender)
        sheet.opened.append(OrderDraft(order, TARGET, delivery.id))
        is_new = parsed.action == "comment_created" and parsed.comment_id is not None
        if is_new and is_command(parsed.comment):
            command = RunCommand(*place, parsed.comment_id or 0, parsed.sender)
            sheet.opened.append(OrderDraft(command, SCRIBE, delivery.id))
        is_changed = parsed.action in ("comment_edited", "comment_deleted")
        if is_changed and parsed.comment_id is not None and parsed.sender != self.own:
            look = LookAgain(facts.ref, parsed.comment_id, parsed.sender, nonce)
            sheet.opened.append(OrderDraft(look, SCRIBE, delivery.id))


def _understood(delivery: StoredDelivery) -> IssueDelivery | Routed:
    if delivery.body is None:
        return Routed("pruned", "its body was pruned by retention before it was read")
    try:
        parsed = parse_delivery(delivery.event, delivery.event_type, delivery.body)
    except PayloadInvalid as invalid:
        return Routed("invalid", str(invalid))
    return Routed("ignored", parsed.reason) if isinstance(parsed, Ignored) else parsed
