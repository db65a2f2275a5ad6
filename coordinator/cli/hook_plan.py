"""Which webhooks are ours, what is wrong with them, and what to do about it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from coordinator.edges.gitea_remote_wire import HookScope, RemoteHook
from coordinator.rules.metadata import one_line
from coordinator.web.webhook import WEBHOOK_PATH

__all__ = [
    "EVENTS",
    "HookPlan",
    "is_near",
    "is_ours",
    "option_of",
    "place_of",
    "plan_hooks",
    "problems_of",
    "receiver_url",
    "shown_events",
]

# "issues" stands for the whole family: opened and closed, assigned, labelled, milestoned.
EVENTS = ("issues", "issue_comment")
_NEEDED = ("issues", "issue_assign", "issue_label", "issue_milestone", "issue_comment")
_PORTS = {"http": 80, "https": 443}


def receiver_url(base: str) -> str:
    """The address of the webhook: `base` itself, with our path where it names none."""
    return base if urlsplit(base).path.strip("/") else base.rstrip("/") + WEBHOOK_PATH


def is_ours(hook: RemoteHook, url: str) -> bool:
    """Whether the hook posts to this address, however that is spelled."""
    return _canonical(hook.url) == _canonical(url)


def is_near(hook: RemoteHook, url: str) -> bool:
    """Whether the hook seems meant for a coordinator, but not for this address."""
    try:
        theirs = urlsplit(hook.url)
    except ValueError:
        return False
    same_path = theirs.path.rstrip("/").endswith(WEBHOOK_PATH)
    same_host = (theirs.hostname or "") == (urlsplit(url).hostname or "")
    return (same_path or same_host) and not is_ours(hook, url)


def _canonical(url: str) -> tuple[str, str, int | None, str, str]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return ("", url, None, "", "")
    return (parts.scheme, parts.hostname or "", port, parts.path.rstrip("/"), parts.query)


def problems_of(hook: RemoteHook) -> tuple[str, ...]:
    """Why the hook does not do what we need; nothing for one that does."""
    missing = [event for event in _NEEDED if event not in hook.events]
    found = (
        ("it is inactive", not hook.active),
        (f"its content type is {hook.content_type or 'not set'}", hook.content_type != "json"),
        (f"it does not send {', '.join(missing)}", bool(missing)),
    )
    return tuple(words for words, is_wrong in found if is_wrong)


@dataclass(frozen=True, slots=True)
class HookPlan:
    """What to do with the hooks of our address: `keep` one that is right, remove the others.

    `wrong` comes with what is wrong; `doubles` are right ones beyond the first. Without `keep`, one
    must be made, before anything is removed.
    """

    keep: RemoteHook | None
    wrong: tuple[tuple[RemoteHook, str], ...]
    doubles: tuple[RemoteHook, ...]

    @property
    def ours(self) -> tuple[RemoteHook, ...]:
        kept = () if self.keep is None else (self.keep,)
        return (*kept, *self.doubles, *(hook for hook, _ in self.wrong))


def plan_hooks(hooks: Sequence[RemoteHook], url: str) -> HookPlan:
    """Of several right ones the newest stays: it is the one with the newest secret."""
    ours = sorted((hook for hook in hooks if is_ours(hook, url)), key=lambda hook: -hook.id)
    right = [hook for hook in ours if not problems_of(hook)]
    wrong = tuple((hook, " and ".join(found)) for hook in ours if (found := problems_of(hook)))
    return HookPlan(right[0] if right else None, wrong, tuple(right[1:]))


# words ------------------------------------------------------------------------------------------


def place_of(scope: HookScope) -> str:
    """Whose hooks, for a person."""
    kind, name = scope
    return {"repo": f"repository {name}", "org": f"organisation {name}", "all": "the whole forge"}[kind]


def option_of(scope: HookScope) -> str:
    """The same as an option of the command line."""
    kind, name = scope
    return {"repo": f"--repo {name}", "org": f"--org {name}", "all": "--all"}[kind]


def shown_events(hook: RemoteHook) -> str:
    """The events in few words: ours by their family, others by their number."""
    needed = [event for event in _NEEDED if event in hook.events]
    others = len(set(hook.events) - set(_NEEDED))
    words = ["issues and comments"] if len(needed) == len(_NEEDED) else needed
    if others:
        words = [*words, f"{others} others"]
    return one_line(", ".join(words), 100) or "no events"
