"""The environment while it is being read: its variables, and one line for each wrong value."""

import ipaddress
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, get_args

from pydantic import SecretStr

from coordinator.config_file import default_fleet, read_fleet
from coordinator.edges.web_address import web_address
from coordinator.errors import SettingsError
from coordinator.rules.fleet import Fleet

__all__ = [
    "CONFIG_FILE",
    "DEFAULTS",
    "VARIABLES",
    "Environment",
    "LogFormat",
    "LogLevel",
    "Parser",
    "Repositories",
    "Variable",
    "WriteBack",
]

CONFIG_FILE = "coordinator.toml"
# Owner and name as forges allow them; the dots in a path of dots would lead elsewhere.
_REPOSITORY = re.compile(r"(?!\.+/)[A-Za-z0-9_.-]{1,100}/(?!\.+$)[A-Za-z0-9_.-]{1,100}")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]
Parser = Literal["claude", "rules"]
WriteBack = Literal["comment", "labels", "assignee"]
# Full names, or "heard": those of received deliveries, or "all": wherever the token's user may write.
Repositories = tuple[str, ...] | Literal["heard", "all"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable; `default` is "" where none exists. Secrets have a `_FILE` variant."""

    name: str
    meaning: str
    default: str = ""
    secret: bool = False


VARIABLES: tuple[Variable, ...] = (
    Variable(
        "GITEA_WEBHOOK_SECRET", "required: secret of the webhook; several with commas", secret=True
    ),
    Variable("GITEA_URL", "required: base URL of the Gitea or Forgejo"),
    Variable("GITEA_TOKEN", "access token of the forge, to read and write issues", secret=True),
    Variable("GITEA_REPOSITORIES", "repositories to watch: owner/name, … or all; none: those heard of"),
    Variable("SWEEP_INTERVAL", "seconds between two looks for missed webhooks", "60"),
    Variable("WRITE_BACK", "what is written to issues: comment, labels, assignee", "comment,labels"),
    Variable("COORDINATOR_PUBLIC_URL", "where the forge reaches this coordinator, to install hooks"),
    Variable("ANTHROPIC_API_KEY", "required unless PARSER=rules: Claude API key", secret=True),
    Variable("ANTHROPIC_BASE_URL", "where the Claude API is, when it is behind a proxy"),
    Variable("COORDINATOR_API_TOKEN", "bearer token of the API; none: loopback only", secret=True),
    Variable("COORDINATOR_CONFIG", "path of the TOML file with the fleet", CONFIG_FILE),
    Variable("COORDINATOR_URL", "where the client commands find the coordinator", "from HOST, PORT"),
    Variable("DATA_DIR", "directory of the journal", "./data"),
    Variable("HOST", "address to listen on", "0.0.0.0"),  # noqa: S104 - a container's only sensible bind
    Variable("PORT", "port to listen on; 0 picks a free one", "8000"),
    Variable("LOG_LEVEL", "debug, info, warning or error", "info"),
    Variable("LOG_FORMAT", "json, text, or auto: text on a terminal, else json", "auto"),
    Variable("PARSER", "who reads issues: claude or rules", "claude"),
    Variable("PARSER_MODEL", "Claude model that reads issues", "claude-sonnet-5-5"),
    Variable("PARSER_CONCURRENCY", "issues read at the same time", "4"),
    Variable("PARSER_DEADLINE_S", "seconds one issue may take, retries included", "120"),
    Variable("MAX_BODY_BYTES", "largest delivery accepted, in bytes", str(8 * 1024 * 1024)),
    Variable("MAX_CONNECTIONS", "connections served at the same time", "512"),
    Variable("RETENTION_DAYS", "days the raw bodies of deliveries are kept", "30"),
    Variable("SHUTDOWN_TIMEOUT_S", "seconds requests in flight may take at a stop", "5"),
)
DEFAULTS = {variable.name: variable.default for variable in VARIABLES}


class Environment:
    """The environment while it is being read. An empty optional variable counts as not set, because
    compose files pass on variables the operator left empty."""

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self._environ = environ
        self._directory = directory

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip() or DEFAULTS[name]

    def secret(self, name: str) -> str:
        """The value of `name`, or the content of the file `name`_FILE names; "" when neither is set."""
        value, path = self._environ.get(name, "").strip(), self._environ.get(f"{name}_FILE", "").strip()
        if value and path:
            self.fail(f"{name}_FILE", f"and {name} are both set", "one of them", "unset one")
        if not path:
            self._require_text(name, value)
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8 text"
            raise SettingsError(
                f"{name}_FILE is {path!r}, which cannot be read ({reason}); expected a file holding "
                "the secret; mend the path or its permissions"
            ) from problem

    def _require_text(self, name: str, value: str) -> None:
        """Bytes of the environment that are no UTF-8 arrive as half characters nothing can encode."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(name, "holds bytes that are not UTF-8", "text", "copy it again")

    def webhook_secrets(self) -> tuple[SecretStr, ...]:
        value = self.secret("GITEA_WEBHOOK_SECRET")
        if not value:
            self.required(
                "GITEA_WEBHOOK_SECRET", "required: secret of the webhook; several with commas"
            )
        secrets = [part.strip() for part in value.split(",")]
        if not all(secrets):
            self.fail(
                "GITEA_WEBHOOK_SECRET",
                "holds an empty secret between its commas",
                "no empty ones",
                "remove the stray comma (anybody can sign with an empty secret)",
            )
        return tuple(SecretStr(secret) for secret in secrets)

    def token(self, name: str, *, min_chars: int = 1) -> SecretStr | None:
        value = self.secret(name)
        if not value:
            return None
        if len(value) < min_chars:
            self.fail(
                name,
                f"has {len(value)} characters",
                f"at least {min_chars}",
                "try openssl rand -hex 24",
            )
        if not value.isascii() or not value.isprintable() or " " in value:
            self.fail(
                name, "holds blanks or non-ASCII characters", "what a header can carry", "copy it again"
            )
        return SecretStr(value)

    def anthropic_key(self, parser: Parser) -> SecretStr | None:
        key = self.token("ANTHROPIC_API_KEY")
        if key is None and parser == "claude":
            self.required(
                "ANTHROPIC_API_KEY", "a Claude API key", or_else="set PARSER=rules to do without"
            )
        return key

    def choice(self, name: str, options: tuple[str, ...]) -> str:
        value = self.text(name).lower()
        if value not in options:
            self.fail(name, f"is {value!r}", f"one of {', '.join(options)}", _unset(name))
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        try:
            value = int(self.text(name))
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            self._not_in_range(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float:
        try:
            value = float(self.text(name))
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            self._not_in_range(name, f"a number from {low:g} to {high:g}")
        return value

    def _not_in_range(self, name: str, expected: str) -> NoReturn:
        self.fail(name, f"is {self.text(name)!r}", expected, _unset(name))

    def url(self, name: str) -> str | None:
        value = self._environ.get(name, "").strip()
        return web_address(name, value) if value else None

    def repositories(self) -> Repositories:
        value = self._environ.get("GITEA_REPOSITORIES", "").strip()
        if not value or value.lower() == "all":
            return "all" if value else "heard"
        names = tuple(part.strip() for part in value.split(","))
        for name in names:
            if not _REPOSITORY.fullmatch(name):
                self.fail(
                    "GITEA_REPOSITORIES", f"holds {name!r}", "owner/name, … or all", "mend or unset it"
                )
        return names

    def write_back(self) -> frozenset[WriteBack]:
        value = self.text("WRITE_BACK").lower()
        words = {part.strip() for part in value.split(",")} - {"none"}
        known: tuple[WriteBack, ...] = get_args(WriteBack)
        if unknown := sorted(words.difference(known)):
            self.fail(
                "WRITE_BACK",
                f"holds {unknown[0]!r}",
                f"none or some of {', '.join(known)}",
                _unset("WRITE_BACK"),
            )
        return frozenset(word for word in known if word in words)

    def host(self) -> str:
        value = self.text("HOST").strip("[]")
        if _HOST_NAME.fullmatch(value):
            return value
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            return self.fail("HOST", f"is {value!r}", "an IP address or host name", _unset("HOST"))

    def fleet(self) -> tuple[Path | None, Fleet]:
        named = self._environ.get("COORDINATOR_CONFIG", "").strip()
        path = self._directory / (named or CONFIG_FILE)
        if not named and not path.exists():
            return None, default_fleet()
        return path, read_fleet(path)

    def data_dir(self) -> Path:
        path = self._directory / self.text("DATA_DIR")
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as problem:
            raise SettingsError(
                f"DATA_DIR is {str(path)!r}, which cannot be written ({problem.strerror}); expected a "
                "directory this user may write; create it, mend its owner, or mount a volume there"
            ) from problem
        return path

    def required(self, name: str, expected: str, *, or_else: str = "") -> NoReturn:
        state = "is empty" if name in self._environ or f"{name}_FILE" in self._environ else "is not set"
        self.fail(name, state, expected, or_else or "set it in the environment; .env.example shows how")

    def fail(self, name: str, seen: str, expected: str, remedy: str) -> NoReturn:
        raise SettingsError(f"{name} {seen}, expected {expected}; {remedy}")


def _unset(name: str) -> str:
    return f"unset it for {DEFAULTS[name]}"
