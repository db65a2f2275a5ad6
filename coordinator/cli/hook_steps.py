"""The steps of `mosaic-coordinator hook`: make the webhook, show it, renew its secret, remove it.

What is to be done is decided by `hook_plan.py`. A forge cannot edit a webhook's secret and keeps
nothing of a webhook that a partial edit leaves out, so a webhook is always made whole, and the old one
deleted afterwards: at every moment at least one works.
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import trio

from coordinator.cli.durations import lasting
from coordinator.cli.hook_plan import (
    EVENTS,
    HookPlan,
    is_near,
    option_of,
    place_of,
    plan_hooks,
    problems_of,
    shown_events,
)
from coordinator.cli.ping import NoCoordinator, addresses_of, ping, read_health, wait_arrival
from coordinator.cli.receiver import allowance, sends_test
from coordinator.edges.gitea import Forge
from coordinator.edges.gitea_calls_wire import hooks_call
from coordinator.edges.gitea_remote_wire import ForgeInfo, HookScope, RemoteHook
from coordinator.edges.web_address import shown_address
from coordinator.errors import ForgeError, ForgeForbidden, ForgeNotFound, ForgeUnavailable
from coordinator.web.webhook import WEBHOOK_PATH

__all__ = ["SCOPES", "Errand", "HookCommand", "Patience", "Refusal", "run_hook"]

SCOPES = {"repo": "write:repository", "org": "write:organization", "all": "write:admin"}
_RIGHTS = {
    "repo": "an administrator of the repository",
    "org": "an owner of the organisation",
    "all": "an administrator of the forge",
}
_NO_PROOF = "`mosaic-coordinator doctor --prove` waits for a real delivery"
_WHY_NOTHING = (
    "a repository without commits sends none; else the webhook's history in the forge has the reason"
)


class Refusal(Exception):
    """What was asked for cannot be done as things are; the message is one line with the remedy."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a test delivery, and for the old webhook's queue to run empty.

    A forge tries a delivery for at most 5 s, one after the other; what is still queued for a webhook
    that is deleted never leaves.
    """

    proof_s: float = 15.0
    settle_s: float = 6.0


@dataclass(frozen=True, slots=True)
class Errand:
    """What to do where. `secrets` newest first; `local_url` is the coordinator on this machine."""

    scope: HookScope
    url: str
    secrets: tuple[str, ...]
    local_url: str | None
    is_dry: bool = False
    patience: Patience = Patience()


class HookCommand:
    """One errand at one forge; `tell` gets a label and a sentence per step. Each action gives the exit
    code, or raises Refusal or ForgeError, both after telling what was done already."""

    def __init__(self, errand: Errand, forge: Forge, tell: Callable[[str, str], None]) -> None:
        self._errand = errand
        self._forge = forge
        self._tell = tell

    async def install(self) -> int:
        """Makes the webhook unless one is there that is right; removes what else has our address."""
        plan = await self._plan()
        hook = plan.keep
        if hook is None:
            hook = await self._make()
        else:
            self._tell("kept", f"hook {hook.id} is right (its secret is not shown): {_described(hook)}")
        for old, why in plan.wrong:
            await self._remove(old, why)
        for old in plan.doubles:
            await self._remove(old, "it was one too many")
        if self._errand.is_dry or hook is None:
            return 0
        return await self._prove(hook)

    async def status(self) -> int:
        """Shows the webhooks of our address, and those that look as if they should have it."""
        hooks = await self._forge.hooks(self._errand.scope)
        plan = plan_hooks(hooks, self._errand.url)
        for hook in plan.ours:
            wrong = " and ".join(problems_of(hook))
            self._tell(f"hook {hook.id}", f"{_described(hook)}: {wrong or 'right'}")
        if len(plan.ours) > 1:
            self._tell("double", "each event is sent more than once; `hook install` leaves one")
        for hook in hooks:
            if is_near(hook, self._errand.url):
                self._tell(f"hook {hook.id}", f"posts elsewhere, to {shown_address(hook.url)}")
        if not plan.ours:
            self._tell("none", f"no webhook posts here; `hook install {option_of(self._errand.scope)}`")
        await self._tell_last_delivery()
        return 0 if plan.keep is not None else 1

    async def rotate(self) -> int:
        """Makes a webhook with the new secret, then removes the others: no event is without one."""
        await self._require_both_secrets()
        plan = await self._plan()
        made = await self._make()
        if made is not None and plan.ours:
            self._tell("waiting", "until what is queued for the old webhook has left")
            await trio.sleep(self._errand.patience.settle_s)
        for old in plan.ours:
            await self._remove(old, "it had the old secret")
        if made is None:
            return 0
        code = await self._prove(made)
        self._tell(
            "next", "take the old secret out of GITEA_WEBHOOK_SECRET and restart the coordinator"
        )
        return code

    async def remove(self) -> int:
        """Removes every webhook of our address, and no other."""
        plan = await self._plan()
        for hook in plan.ours:
            await self._remove(hook, "it posted here")
        if not plan.ours:
            self._tell("none", "no webhook posts here: nothing to remove")
        return 0

    # steps --------------------------------------------------------------------------------------

    async def _plan(self) -> HookPlan:
        return plan_hooks(await self._forge.hooks(self._errand.scope), self._errand.url)

    async def _make(self) -> RemoteHook | None:
        errand = self._errand
        if errand.is_dry:
            self._tell("would make", f"a hook: active, JSON, {' + '.join(EVENTS)}")
            return None
        try:
            hook = await self._forge.create_hook(errand.scope, errand.url, errand.secrets[0], EVENTS)
        except ForgeUnavailable as problem:
            raise Refusal(
                f"{problem}; the webhook may have been made all the same, and nothing was removed:"
                " `hook status` shows it, and the same command may be run again"
            ) from problem
        self._tell("made", f"hook {hook.id}: {_described(hook)}")
        if wrong := problems_of(hook):
            raise Refusal(f"the forge made hook {hook.id}, but {' and '.join(wrong)}; see it there")
        return hook

    async def _remove(self, hook: RemoteHook, why: str) -> None:
        if self._errand.is_dry:
            self._tell("would drop", f"hook {hook.id}: {why}")
            return
        try:
            await self._forge.delete_hook(self._errand.scope, hook.id)
        except ForgeNotFound:
            self._tell("gone", f"hook {hook.id}, by somebody else")
            return
        except ForgeError as problem:
            raise Refusal(
                f"hook {hook.id} is still there ({why}), because {problem}; the other one works: run"
                " the same command again to remove it, and leave the secrets as they are until then"
            ) from problem
        self._tell("removed", f"hook {hook.id}: {why}")

    async def _require_both_secrets(self) -> None:
        """The running coordinator must take the new secret before the forge uses it."""
        errand = self._errand
        if len(errand.secrets) < 2:
            raise Refusal(
                "GITEA_WEBHOOK_SECRET holds one secret, expected the new and the old one: set it to"
                " NEW,OLD, restart the coordinator, and run this again"
            )
        places = [errand.url] + ([errand.local_url + WEBHOOK_PATH] if errand.local_url else [])
        echoes = [await ping(place, errand.secrets[0]) for place in dict.fromkeys(places)]
        for echo in echoes:
            self._tell("new secret", f"accepted at {echo.url}" if echo.is_accepted else str(echo))
        answered = [echo for echo in echoes if echo.status is not None]
        if not answered or not all(echo.is_accepted for echo in answered):
            raise Refusal(
                "the running coordinator does not take the new secret yet, so nothing was changed:"
                " start it with GITEA_WEBHOOK_SECRET=NEW,OLD and run this again"
            )

    # the proof ----------------------------------------------------------------------------------

    async def _prove(self, hook: RemoteHook) -> int:
        """Asks the forge for a test delivery where it sends one, and watches it arrive."""
        errand, info = self._errand, await self._forge.info()
        if errand.scope[0] != "repo" or not sends_test(info, hook):
            self._tell("proof", f"this forge sends no test delivery to such a webhook; {_NO_PROOF}")
            await self._tell_address(info)
            return 0
        try:
            before = (await read_health(errand.local_url or "")).report
        except NoCoordinator as nobody:
            self._tell("proof", f"{nobody}; {_NO_PROOF}")
            await self._tell_address(info)
            return 0
        await self._forge.test_hook(errand.scope[1], hook.id)
        seen = await wait_arrival(errand.local_url or "", before, timeout_s=errand.patience.proof_s)
        if seen.word == "arrived":
            self._tell("proof", f"a test delivery of the forge arrived after {seen.after_s:.1f} s")
            return 0
        if seen.word == "unsigned":
            again = f"`hook remove {option_of(errand.scope)}`, then `hook install`"
            self._tell("proof", f"a delivery arrived with another secret than ours: {again}")
            return 1
        self._tell("proof", f"no test delivery within {errand.patience.proof_s:g} s; {_WHY_NOTHING}")
        await self._tell_address(info)
        return 1

    async def _tell_address(self, info: ForgeInfo) -> None:
        host = urlsplit(self._errand.url).hostname or ""
        addresses = await addresses_of(self._errand.url)
        if not addresses:
            self._tell("address", f"{host} has no address on this machine; the forge must know it")
            return
        needs = allowance(addresses, info)
        if not needs.entry:
            self._tell("address", f"{needs.told_of(host)}; forges post there unless forbidden")
            if needs.entry_later:
                self._tell("", f"from Gitea 1.26.3 on it needs {needs.ini[1]} in {needs.ini[0]}")
            return
        self._tell(
            "address",
            f"{needs.told_of(host)}. A forge posts there only if its administrator allows it, in"
            " its app.ini, and restarts it:",
        )
        for line in needs.ini:
            self._tell("", f"    {line}")
        self._tell("", f"Where the list is set already, {needs.entry} is what to add.")

    async def _tell_last_delivery(self) -> None:
        try:
            report = (await read_health(self._errand.local_url or "")).report
        except NoCoordinator as nobody:
            self._tell("last", f"unknown: {nobody}")
            return
        age_s, tests = report.last_delivery_age_s, report.deliveries.get("ignored", 0)
        if age_s is not None:
            ago = f"a delivery was stored {lasting(age_s)} ago"
        else:
            counted = f" ({tests} test {'delivery' if tests == 1 else 'deliveries'})" if tests else ""
            ago = f"no issue delivery yet{counted}"
        self._tell("last", f"{ago}; {report.signature_failures} with a wrong signature so far")


def _described(hook: RemoteHook) -> str:
    state = "active" if hook.active else "inactive"
    kind = "JSON" if hook.content_type == "json" else hook.content_type or "no content type"
    return f"{state}, {kind}, {shown_events(hook)}"


async def run_hook(action: str, errand: Errand, forge: Forge, tell: Callable[[str, str], None]) -> int:
    """One action, told step by step; the exit code. Refusal if it cannot be done."""
    command = HookCommand(errand, forge, tell)
    actions = {
        "install": command.install,
        "status": command.status,
        "rotate": command.rotate,
        "remove": command.remove,
    }
    try:
        hooks_call(errand.scope)  # a name that is none is told before anything else
        info = await forge.info()
        tell("forge", f"{info.product.capitalize()} {info.version}, {place_of(errand.scope)}")
        tell("target", shown_address(errand.url))
        return await actions[action]()
    except ForgeError as problem:
        raise Refusal(_advised(problem, errand.scope)) from problem


def _advised(problem: ForgeError, scope: HookScope) -> str:
    """The forge's refusal, with what these webhooks take in place of its own remedy."""
    if not isinstance(problem, ForgeForbidden | ForgeNotFound):
        return str(problem)
    kind = scope[0]
    said = str(problem).removesuffix(f"; {problem.remedy}")
    return (
        f"{said}; webhooks of {place_of(scope)} take a token with the scope {SCOPES[kind]}, of an"
        f" account that is {_RIGHTS[kind]}"
    )
