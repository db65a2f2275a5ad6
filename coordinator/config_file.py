"""The fleet from `coordinator.toml`: every key checked, every complaint one line with a remedy.

Knows nothing of the environment; it is given a path. Ranges are here and not in the policy itself,
because the rules trust their input and an operator deserves a sentence instead of a traceback.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NoReturn, get_args

from coordinator.errors import SettingsError
from coordinator.rules.events import Difficulty
from coordinator.rules.fleet import AgentSpec, ContextPolicy, Fleet
from coordinator.rules.ids import AgentName, Login

__all__ = ["CONTEXT_BOUNDS", "DEFAULT_LOGIN", "Bounds", "default_fleet", "read_fleet"]

DEFAULT_LOGIN = "coder-bot"
DRIVERS = ("external", "rehearsal")
LATER_DRIVERS = ("claude-code",)
# Names become actor ids and URL segments, so they keep to characters that need no escaping anywhere.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Forges allow the same characters in a login, and up to 40 of them; some installations raise that.
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
# One agent with more runs at once than this is a fleet written as one agent.
_MAX_SLOTS = 64
# Largest context windows sold are a few million tokens; beyond this a number is a typing error.
_MAX_TOKENS = 100_000_000
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Bounds:
    """The values a numeric setting may take, both ends included; `whole` numbers have no fraction."""

    low: float
    high: float
    whole: bool = False

    def admits(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.low:,} to {self.high:,}"


_TOKENS = Bounds(1_000, _MAX_TOKENS, whole=True)

CONTEXT_BOUNDS: Mapping[str, Bounds] = {
    "compact_at": Bounds(0.05, 1),
    "rotate_at": Bounds(0.05, 1),
    "compact_cap_tokens": _TOKENS,
    "rotate_cap_tokens": _TOKENS,
    "window_tokens": _TOKENS,
    "auto_compact_tokens": _TOKENS,
    "poll_s": Bounds(0.01, 3600),
    "poll_jitter": Bounds(0, 0.9),
    "rearm_points": Bounds(0, 0.9),
    "min_gain": Bounds(0, 0.9),
    "max_fill_after": Bounds(0.05, 1),
    "max_compactions": Bounds(0, 100, whole=True),
    "cooldown_s": Bounds(0, _DAY_S),
    "compact_timeout_s": Bounds(0.01, _DAY_S),
    "rotate_timeout_s": Bounds(0.01, _DAY_S),
    "max_sessions": Bounds(1, 100, whole=True),
    "unknown_after_failures": Bounds(1, 100, whole=True),
    "stall_after_s": Bounds(0.01, 7 * _DAY_S),
}


def default_fleet() -> Fleet:
    """What runs without a configuration file: one external agent, named after the pool."""
    return _fleet_of_pool((Login(DEFAULT_LOGIN),))


def read_fleet(path: Path) -> Fleet:
    """The fleet the file describes, or SettingsError with one line naming the key and the remedy."""
    return _File(path).fleet()


def _fleet_of_pool(logins: tuple[Login, ...]) -> Fleet:
    return Fleet((AgentSpec(AgentName(logins[0]), logins[0]),), logins)


class _File:
    """One configuration file while it is being read; it lends its path to every complaint."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fleet(self) -> Fleet:
        root = self._load()
        self._known_keys(root, ("pool", "agents"), "the file")
        pool = self._pool(self._table(root.get("pool", {}), "[pool]"))
        listed = root.get("agents", [])
        if not isinstance(listed, list):
            self._fail(
                "agents", "is one table", "a list of tables", "write [[agents]] with two brackets"
            )
        agents = tuple(self._agent(entry, number) for number, entry in enumerate(listed, 1))
        if not agents and not pool:
            self._fail("[pool]", "and [[agents]] are missing", "at least one of them", _SHOW_EXAMPLE)
        fleet = Fleet(agents, pool) if agents else _fleet_of_pool(pool)
        self._distinct(fleet)
        return fleet

    def _load(self) -> dict[str, object]:
        try:
            return tomllib.loads(self._path.read_text(encoding="utf-8"))
        except OSError as problem:
            raise SettingsError(
                f"COORDINATOR_CONFIG names {self._path}, which cannot be read ({problem.strerror}); "
                "expected a TOML file; mend the path or unset it to run one default agent"
            ) from problem
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
            raise SettingsError(
                f"{self._path} is not valid TOML: {str(problem).splitlines()[0]}; mend that line"
            ) from problem

    def _pool(self, table: Mapping[str, object]) -> tuple[Login, ...]:
        self._known_keys(table, ("logins",), "[pool]")
        logins = table.get("logins", [])
        if not isinstance(logins, list) or ("logins" in table and not logins):
            self._fail("[pool] logins", f"is {logins!r}", "a list of login names", 'e.g. ["coder-bot"]')
        for login in logins:
            if not isinstance(login, str) or not _LOGIN.fullmatch(login):
                self._fail("[pool] logins", f"holds {login!r}", "login names", "use account names")
        self._no_twins(logins, "[pool] logins")
        return tuple(Login(login) for login in logins)

    def _agent(self, entry: object, number: int) -> AgentSpec:
        table = self._table(entry, f"[[agents]] number {number}")
        where = f"agent {table['name']!r}" if "name" in table else f"[[agents]] number {number}"
        self._known_keys(table, [field.name for field in fields(AgentSpec)], where)
        name = self._text(table, "name", where, _NAME, "letters, digits, '.', '_' or '-', at most 64")
        login = self._text({"login": name, **table}, "login", where, _LOGIN, "a login of the forge")
        spec = AgentSpec(AgentName(name), Login(login))
        optional = {"driver": spec.driver, "model": spec.model, **table}
        return AgentSpec(
            name=spec.name,
            login=spec.login,
            driver=self._driver(optional["driver"], where),
            model=self._text(optional, "model", where, re.compile(r"\S+"), "a model id"),
            difficulty=self._difficulty(table.get("difficulty", spec.difficulty), where),
            slots=self._slots(table.get("slots", spec.slots), where),
            context=self._context(table.get("context", {}), where),
            transcript=self._transcript(table.get("transcript"), where),
        )

    def _driver(self, value: object, where: str) -> str:
        if value in LATER_DRIVERS:
            self._fail(
                f"{where}: driver",
                f"is {value!r}, which comes in a later version",
                _one_of(DRIVERS),
                "use external and let the agent report over HTTP",
            )
        if not isinstance(value, str) or value not in DRIVERS:
            self._fail(f"{where}: driver", f"is {value!r}", _one_of(DRIVERS), _guess(value, DRIVERS))
        return value

    def _difficulty(self, value: object, where: str) -> Difficulty:
        known: tuple[Difficulty, ...] = get_args(Difficulty)
        for difficulty in known:
            if value == difficulty:
                return difficulty
        return self._fail(
            f"{where}: difficulty", f"is {value!r}", _one_of(known), "name the hardest it takes"
        )

    def _slots(self, value: object, where: str) -> int:
        bounds = Bounds(1, _MAX_SLOTS, whole=True)
        if not isinstance(value, int) or not bounds.admits(value):
            self._fail(
                f"{where}: slots", f"is {value!r}", str(bounds), "count the runs it works at once"
            )
        return value

    def _transcript(self, value: object, where: str) -> str | None:
        if value is not None and (not isinstance(value, str) or not value.strip()):
            self._fail(f"{where}: transcript", f"is {value!r}", "a path", "or leave the line out")
        return value

    def _context(self, value: object, where: str) -> ContextPolicy:
        where = f"{where}: context"
        table = self._table(value, where)
        self._known_keys(table, CONTEXT_BOUNDS, where)
        for key, number in table.items():
            if not CONTEXT_BOUNDS[key].admits(number):
                self._fail(
                    f"{where}.{key}", f"is {number!r}", str(CONTEXT_BOUNDS[key]), "change the value"
                )
        policy = ContextPolicy(**table)  # type: ignore[arg-type]
        self._ordered(policy, where)
        return policy

    def _ordered(self, policy: ContextPolicy, where: str) -> None:
        if policy.compact_at >= policy.rotate_at:
            self._fail(
                f"{where}.compact_at",
                f"is {policy.compact_at:g}",
                f"less than rotate_at ({policy.rotate_at:g})",
                "lower it or raise rotate_at",
            )
        caps = policy.compact_cap_tokens, policy.rotate_cap_tokens
        if caps[0] is not None and caps[1] is not None and caps[0] >= caps[1]:
            self._fail(
                f"{where}.compact_cap_tokens",
                f"is {caps[0]}",
                f"less than rotate_cap_tokens ({caps[1]})",
                "lower it or raise rotate_cap_tokens",
            )
        if policy.rearm_points >= policy.compact_at:
            self._fail(
                f"{where}.rearm_points",
                f"is {policy.rearm_points:g}",
                f"less than compact_at ({policy.compact_at:g})",
                "lower it, or it never acts a second time",
            )

    def _distinct(self, fleet: Fleet) -> None:
        self._no_twins([agent.name for agent in fleet.agents], "[[agents]] name")
        self._no_twins([agent.login for agent in fleet.agents], "[[agents]] login")
        for agent in fleet.agents:
            if len(fleet.agents) > 1 and agent.login in fleet.pool_logins:
                self._fail(
                    f"agent {agent.name!r}: login",
                    f"is {agent.login!r}, also one of [pool] logins",
                    "a login that means only this agent",
                    "give the agent an account of its own",
                )

    def _no_twins(self, names: Iterable[str], where: str) -> None:
        seen: set[str] = set()
        for name in names:
            if name.casefold() in seen:
                self._fail(where, f"has {name!r} twice", "each once", "rename one; case does not count")
            seen.add(name.casefold())

    def _text(
        self, table: Mapping[str, object], key: str, where: str, shape: re.Pattern[str], expected: str
    ) -> str:
        if key not in table:
            self._fail(f"{where}: {key}", "is missing", expected, "add the line")
        value = table[key]
        if not isinstance(value, str) or not shape.fullmatch(value):
            self._fail(f"{where}: {key}", f"is {value!r}", expected, "change the value")
        return value

    def _table(self, value: object, where: str) -> Mapping[str, object]:
        if not isinstance(value, dict):
            self._fail(where, f"is {value!r}", "a table", _SHOW_EXAMPLE)
        return value

    def _known_keys(self, table: Mapping[str, object], known: Iterable[str], where: str) -> None:
        names = list(known)
        for key in table:
            if key not in names:
                raise SettingsError(
                    f"{self._path}: {where} has the unknown key {key!r}; {_guess(key, names)}"
                )

    def _fail(self, setting: str, seen: str, expected: str, remedy: str) -> NoReturn:
        raise SettingsError(f"{self._path}: {setting} {seen}, expected {expected}; {remedy}")


_SHOW_EXAMPLE = "coordinator.example.toml shows the shape"


def _one_of(names: Iterable[str]) -> str:
    return "one of " + ", ".join(names)


def _guess(value: object, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(str(value), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
