"""The settings: read once from the environment and `coordinator.toml`, then passed by argument.

Nothing else in the program reads an environment variable. A setting that cannot be used ends in one
line that names it, the value seen (never that of a secret), the value expected and the remedy.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

from coordinator.config_environment import (
    CONFIG_FILE,
    DEFAULTS,
    VARIABLES,
    Environment,
    LogFormat,
    LogLevel,
    Parser,
    Repositories,
    Variable,
    WriteBack,
)
from coordinator.rules.fleet import Fleet

__all__ = [
    "VARIABLES",
    "Repositories",
    "Settings",
    "Variable",
    "WriteBack",
    "client_token",
    "host_and_port",
    "is_configured",
    "journal_path",
    "load_settings",
    "local_url",
]

JOURNAL_FILE = "journal.sqlite3"
# A bearer token is guessed over the network, not offline: 16 random characters are out of reach.
_MIN_TOKEN_CHARS = 16
# SQLite takes no value of a billion bytes, and a delivery must fit into one.
_MAX_BODY_BYTES = 512 * 1024**2
_DAY_S = 86_400
# An image sets these for itself, and a port says nothing of a forge.
_TELLS_NOTHING = {"HOST", "PORT", "DATA_DIR", "LOG_LEVEL", "LOG_FORMAT", "COORDINATOR_URL"}


class Settings(BaseModel):
    """Everything the program was told, checked. Secrets print as asterisks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook_secrets: tuple[SecretStr, ...]
    gitea_url: str
    gitea_token: SecretStr | None = None
    repositories: Repositories = "heard"
    sweep_interval_s: float = float(DEFAULTS["SWEEP_INTERVAL"])
    write_back: frozenset[WriteBack] = frozenset({"comment", "labels"})
    public_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    api_token: SecretStr | None = None
    config_path: Path | None = None
    data_dir: Path
    host: str = DEFAULTS["HOST"]
    port: int = int(DEFAULTS["PORT"])
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parser: Parser = "claude"
    parser_model: str = DEFAULTS["PARSER_MODEL"]
    parser_concurrency: int = int(DEFAULTS["PARSER_CONCURRENCY"])
    parser_deadline_s: float = float(DEFAULTS["PARSER_DEADLINE_S"])
    max_body_bytes: int = int(DEFAULTS["MAX_BODY_BYTES"])
    max_connections: int = int(DEFAULTS["MAX_CONNECTIONS"])
    retention_days: int = int(DEFAULTS["RETENTION_DAYS"])
    shutdown_timeout_s: float = float(DEFAULTS["SHUTDOWN_TIMEOUT_S"])
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
    env = Environment(environ, directory or Path())
    parser: Parser = "rules" if env.choice("PARSER", ("claude", "rules")) == "rules" else "claude"
    config_path, fleet = env.fleet()
    return Settings(
        webhook_secrets=env.webhook_secrets(),
        gitea_url=env.url("GITEA_URL")
        or env.required("GITEA_URL", "the base URL of your Gitea or Forgejo"),
        gitea_token=env.token("GITEA_TOKEN"),
        repositories=env.repositories(),
        sweep_interval_s=env.number("SWEEP_INTERVAL", 1, _DAY_S),
        write_back=env.write_back(),
        public_url=env.url("COORDINATOR_PUBLIC_URL"),
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
    env = Environment(environ, Path())
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
    env = Environment(environ, Path())
    return env.host(), env.whole("PORT", 0, 65535)


def client_token(environ: Mapping[str, str]) -> str | None:
    """The bearer token a client sends, if one is configured."""
    token = Environment(environ, Path()).token("COORDINATOR_API_TOKEN", min_chars=_MIN_TOKEN_CHARS)
    return None if token is None else token.get_secret_value()


def journal_path(environ: Mapping[str, str]) -> Path:
    """Where the journal of this environment is, or would be; nothing is created."""
    return Path(Environment(environ, Path()).text("DATA_DIR")) / JOURNAL_FILE
