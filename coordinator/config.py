"""The settings: read once from the environment and `coordinator.toml`, then passed by argument.

Nothing else in the program reads an environment variable. A setting that cannot be used ends in one
line that names it, the value seen (never that of a secret), the value expected and the remedy.
"""

import ipaddress
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr

from coordinator.config_file import default_fleet, read_fleet
from coordinator.errors import SettingsError
from coordinator.rules.fleet import Fleet

__all__ = [
    "VARIABLES",
    "Settings",
    "Variable",
    "client_token",
    "host_and_port",
    "is_configured",
    "journal_path",
    "load_settings",
    "local_url",
]

CONFIG_FILE = "coordinator.toml"
JOURNAL_FILE = "journal.sqlite3"
# A bearer token is guessed over the network, not offline: 16 random characters are out of reach.
_MIN_TOKEN_CHARS = 16
# SQLite takes no value of a billion bytes, and a delivery must fit into one.
_MAX_BODY_BYTES = 512 * 1024**2
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "text"]
Parser = Literal["claude", "rules"]


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
# An image sets these for itself, and a port says nothing of a forge.
_TELLS_NOTHING = {"HOST", "PORT", "DATA_DIR", "LOG_LEVEL", "LOG_FORMAT", "COORDINATOR_URL"}
_DEFAULTS = {variable.name: variable.default for variable in VARIABLES}


class Settings(BaseModel):
    """Everything the program was told, checked. Secrets print as asterisks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook_secrets: tuple[SecretStr, ...]
    gitea_url: str
    gitea_token: SecretStr | None = None
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    api_token: SecretStr | None = None
    config_path: Path | None = None
    data_dir: Path
    host: str = _DEFAULTS["HOST"]
    port: int = int(_DEFAULTS["PORT"])
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parser: Parser = "claude"
    parser_model: str = _DEFAULTS["PARSER_MODEL"]
    parser_concurrency: int = int(_DEFAULTS["PARSER_CONCURRENCY"])
    parser_deadline_s: float = float(_DEFAULTS["PARSER_DEADLINE_S"])
    max_body_bytes: int = int(_DEFAULTS["MAX_BODY_BYTES"])
    max_connections: int = int(_DEFAULTS["MAX_CONNECTIONS"])
    retention_days: int = int(_DEFAULTS["RETENTION_DAYS"])
    shutdown_timeout_s: float = float(_DEFAULTS["SHUTDOWN_TIMEOUT_S"])
    fleet: Fleet

    @property
    def journal_path(self) -> Path:
        return self.data_dir / JOURNAL_FILE

    def secret_values(self) -> tuple[str, ...]:
        """The bare secrets, for the log's redaction and for nothing else."""
        single = (self.gitea_token, self.anthropic_api_key, self.api_token)
        held = (*self.webhook_secrets, *(secret for secret in single if secret is not None))
        return tuple(secret.get_secret_value() for secret in held)


def load_settings(environ: Mapping[str, str], *, directory: Path | None = None) -> Settings:
    """The settings of this process. `directory` is where the default paths begin: the working one.

    Creates DATA_DIR if it is missing. Raises SettingsError with one line at the first bad setting.
    """
    env = _Environment(environ, directory or Path())
    parser: Parser = "rules" if env.choice("PARSER", ("claude", "rules")) == "rules" else "claude"
    config_path, fleet = env.fleet()
    return Settings(
        webhook_secrets=env.webhook_secrets(),
        gitea_url=env.url("GITEA_URL")
        or env.required("GITEA_URL", "the base URL of your Gitea or Forgejo"),
        gitea_token=env.token("GITEA_TOKEN"),
        anthropic_api_key=env.anthropic_key(parser),
        anthropic_base_url=env.url("ANTHROPIC_BASE_URL"),
        api_token=env.token("COORDINATOR_API_TOKEN", min_chars=_MIN_TOKEN_CHARS),
        config_path=config_path,
        host=env.host(),
        port=env.whole("PORT", 0, 65535),
        log_level=env.choice("LOG_LEVEL", ("debug", "info", "warning", "error")),
        log_format=env.choice("LOG_FORMAT", ("auto", "json", "text")),
        parser=parser,
        parser_model=env.text("PARSER_MODEL"),
        parser_concurrency=env.whole("PARSER_CONCURRENCY", 1, 64),
        parser_deadline_s=env.number("PARSER_DEADLINE_S", 1, 3600),
        max_body_bytes=env.whole("MAX_BODY_BYTES", 1024, _MAX_BODY_BYTES),
        max_connections=env.whole("MAX_CONNECTIONS", 1, 100_000),
        retention_days=env.whole("RETENTION_DAYS", 1, 3650),
        shutdown_timeout_s=env.number("SHUTDOWN_TIMEOUT_S", 0.1, 600),
        fleet=fleet,
        data_dir=env.data_dir(),
    )


def local_url(environ: Mapping[str, str]) -> str:
    """Where a client on this machine finds the coordinator: COORDINATOR_URL, or HOST and PORT."""
    env = _Environment(environ, Path())
    given = env.url("COORDINATOR_URL")
    if given is not None:
        return given
    host, port = env.host(), env.whole("PORT", 0, 65535)
    if port == 0:
        env.fail("PORT", "is 0, so the port cannot be known", "a fixed port", "or set COORDINATOR_URL")
    if host in {"0.0.0.0", "::", "*"}:  # noqa: S104 - every address includes the loopback one
        host = "127.0.0.1" if host != "::" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_configured(environ: Mapping[str, str], directory: Path | None = None) -> bool:
    """Whether anybody has set up a coordinator here: a setting beyond where to listen, store and log,
    or a fleet file. Half a configuration is one."""
    telling = [known.name for known in VARIABLES if known.name not in _TELLS_NOTHING]
    names = (*telling, *(f"{name}_FILE" for name in telling))
    return (
        any(environ.get(name) for name in names) or (directory or Path()).joinpath(CONFIG_FILE).exists()
    )


def host_and_port(environ: Mapping[str, str]) -> tuple[str, int]:
    """Where to listen, with the defaults of a coordinator."""
    env = _Environment(environ, Path())
    return env.host(), env.whole("PORT", 0, 65535)


def client_token(environ: Mapping[str, str]) -> str | None:
    """The bearer token a client sends, if one is configured."""
    token = _Environment(environ, Path()).token("COORDINATOR_API_TOKEN", min_chars=_MIN_TOKEN_CHARS)
    return None if token is None else token.get_secret_value()


def journal_path(environ: Mapping[str, str]) -> Path:
    """Where the journal of this environment is, or would be; nothing is created."""
    return Path(_Environment(environ, Path()).text("DATA_DIR")) / JOURNAL_FILE


class _Environment:
    """The environment while it is being read. An empty optional variable counts as not set, because
    compose files pass on variables the operator left empty."""

    def __init__(self, environ: Mapping[str, str], directory: Path) -> None:
        self._environ = environ
        self._directory = directory

    def text(self, name: str) -> str:
        return self._environ.get(name, "").strip() or _DEFAULTS[name]

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
        if not value:
            return None
        if "@" in value:
            self.fail(
                name, "holds a user or password", "a URL without one", "use the variable made for it"
            )
        try:
            parts = urlsplit(value)
            sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            self.fail(name, f"is {value!r}", "an http or https URL", "e.g. https://forge.example.org")
        if (
            parts.scheme not in {"http", "https"}
            or not sound
            or parts.query
            or parts.fragment
            or " " in value
        ):
            self.fail(name, f"is {value!r}", "an http or https URL", "e.g. https://forge.example.org")
        return value.rstrip("/")

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
    return f"unset it for {_DEFAULTS[name]}"
