"""Settings: what is read, what is refused, and the one line that says so."""

from dataclasses import fields
from pathlib import Path

import pytest

from coordinator.config import VARIABLES, Settings, is_configured, load_settings, local_url
from coordinator.config_file import CONTEXT_BOUNDS
from coordinator.errors import SettingsError
from coordinator.rules.fleet import ContextPolicy

GOOD = {
    "GITEA_WEBHOOK_SECRET": "hook-secret",
    "GITEA_URL": "https://forge.example.org/",
    "ANTHROPIC_API_KEY": "sk-example",
}
AGENT = '[[agents]]\nname = "a"\nlogin = "bot-a"\n'


@pytest.fixture
def load(tmp_path: Path) -> "Load":
    return Load(tmp_path)


class Load:
    """Loads settings in a directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, **changed: str) -> Settings:
        return load_settings({**GOOD, **changed}, directory=self.directory)

    def toml(self, text: str) -> Settings:
        (self.directory / "coordinator.toml").write_text(text)
        return self()

    def refusal(self, **changed: str) -> str:
        with pytest.raises(SettingsError) as refused:
            self(**changed)
        return one_line(refused.value)

    def toml_refusal(self, text: str) -> str:
        with pytest.raises(SettingsError) as refused:
            self.toml(text)
        return one_line(refused.value)


def one_line(problem: SettingsError) -> str:
    text = str(problem)
    assert "\n" not in text
    return text


def test_the_required_three_are_enough(load: Load) -> None:
    """With the three required variables everything else has its documented default."""
    settings = load()
    assert [secret.get_secret_value() for secret in settings.webhook_secrets] == ["hook-secret"]
    assert settings.gitea_url == "https://forge.example.org"
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert (settings.parser, settings.parser_model) == ("claude", "claude-sonnet-5-5")
    assert (settings.max_body_bytes, settings.max_connections) == (8_388_608, 512)
    assert (settings.log_level, settings.log_format) == ("info", "auto")
    assert settings.gitea_token is None
    assert settings.api_token is None
    assert settings.journal_path == load.directory / "data" / "journal.sqlite3"


def test_defaults_are_the_documented_ones(load: Load) -> None:
    """What VARIABLES calls the default is what an unset variable means."""
    documented = {
        v.name: v.default for v in VARIABLES if v.default and not v.name.startswith("COORDINATOR")
    }
    assert load(**documented) == load()


def test_repositories_to_watch_are_named_all_or_those_heard_of(load: Load) -> None:
    """GITEA_REPOSITORIES is a list of full names, the word all, or nothing."""
    assert load().repositories == "heard"
    assert load(GITEA_REPOSITORIES="All").repositories == "all"
    assert load(GITEA_REPOSITORIES="acme/w, b/c.d").repositories == ("acme/w", "b/c.d")


@pytest.mark.parametrize("value", ["acme", "acme/w/x", "acme/w,", "../w", "acme/..", "a b/c"])
def test_a_repository_that_can_be_none_is_refused(load: Load, value: str) -> None:
    """A name that is no owner/name, or leads elsewhere in a path, is shown and refused."""
    assert "expected owner/name" in load.refusal(GITEA_REPOSITORIES=value)


def test_what_is_written_back_is_chosen(load: Load) -> None:
    """WRITE_BACK takes any of three words, or none; another word is refused by name."""
    assert load().write_back == {"comment", "labels"}
    assert load(WRITE_BACK="assignee, comment").write_back == {"assignee", "comment"}
    assert load(WRITE_BACK="none").write_back == frozenset()
    assert "holds 'everything'" in load.refusal(WRITE_BACK="everything")


def test_without_a_file_one_external_agent_bears_the_pools_name(load: Load) -> None:
    """The default fleet is one external agent, and its login is the pool."""
    fleet = load().fleet
    assert [(agent.name, agent.login, agent.driver) for agent in fleet.agents] == [
        ("coder-bot", "coder-bot", "external")
    ]
    assert fleet.pool_logins == ("coder-bot",)


def test_empty_optional_variables_count_as_unset(load: Load) -> None:
    """A compose file that passes empty variables gets the defaults."""
    optional = {v.name: "" for v in VARIABLES if v.name not in GOOD}
    assert load(**optional) == load()


@pytest.mark.parametrize("name", list(GOOD))
@pytest.mark.parametrize("value", ["", "   "])
def test_required_values_may_not_be_empty(load: Load, name: str, value: str) -> None:
    """A blank required variable is refused by name."""
    assert load.refusal(**{name: value}).startswith(f"{name} is empty, expected ")


def test_a_missing_value_is_told_from_an_empty_one(load: Load) -> None:
    """An absent required variable is "not set"."""
    with pytest.raises(SettingsError, match=r"^GITEA_WEBHOOK_SECRET is not set, expected .*; set it"):
        load_settings({}, directory=load.directory)


def test_the_rules_parser_needs_no_claude_key(load: Load) -> None:
    """PARSER=rules runs without ANTHROPIC_API_KEY."""
    assert load(PARSER="rules", ANTHROPIC_API_KEY="").anthropic_api_key is None


def test_two_secrets_serve_while_rotating(load: Load) -> None:
    """Secrets separated by commas all count, in order, without blanks around them."""
    secrets = load(GITEA_WEBHOOK_SECRET="new , old").webhook_secrets
    assert [secret.get_secret_value() for secret in secrets] == ["new", "old"]


@pytest.mark.parametrize("value", [",", "a,", ",a", "a,,b", "a, ,b"])
def test_an_empty_secret_hides_nowhere(load: Load, value: str) -> None:
    """A stray comma would mean the empty secret, which everybody knows: refused, value unseen."""
    assert "empty secret" in load.refusal(GITEA_WEBHOOK_SECRET=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GITEA_URL", "forge.example.org"),
        ("GITEA_URL", "ftp://forge.example.org"),
        ("GITEA_URL", "https://"),
        ("GITEA_URL", "http://[half"),
        ("GITEA_URL", "http://forge:99999"),
        ("ANTHROPIC_BASE_URL", "nowhere"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("PARSER", "gpt"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "http"),
        ("HOST", "not a host"),
        ("PARSER_CONCURRENCY", "0"),
        ("PARSER_DEADLINE_S", "nan"),
        ("PARSER_DEADLINE_S", "soon"),
        ("MAX_BODY_BYTES", "8M"),
        ("MAX_CONNECTIONS", "0"),
        ("RETENTION_DAYS", "0"),
        ("SHUTDOWN_TIMEOUT_S", "-5"),
        ("SWEEP_INTERVAL", "0"),
        ("SWEEP_INTERVAL", "1m"),
        ("COORDINATOR_PUBLIC_URL", "here"),
    ],
)
def test_a_bad_value_is_shown_with_what_was_expected(load: Load, name: str, value: str) -> None:
    """The line names the setting, the value seen, the value expected and a remedy."""
    line = load.refusal(**{name: value})
    assert line.startswith(f"{name} is {value!r}, expected ")
    assert "; " in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COORDINATOR_API_TOKEN", "hunter2"),
        ("COORDINATOR_API_TOKEN", "hunter2 hunter2 hunter2"),
        ("GITEA_TOKEN", "hunter2\thunter2"),
        ("ANTHROPIC_API_KEY", "hunter2-é"),
        ("GITEA_URL", "https://me:hunter2@forge.example.org"),
        ("GITEA_URL", "https://forge.example.org/?token=hunter2"),
    ],
)
def test_no_complaint_shows_a_secret(load: Load, name: str, value: str) -> None:
    """A refused secret is described, never quoted."""
    line = load.refusal(**{name: value})
    assert line.startswith(name)
    assert "hunter2" not in line


def test_settings_print_without_secrets(load: Load) -> None:
    """repr and str of the settings show asterisks; only `secret_values` shows more."""
    settings = load(GITEA_TOKEN="tok-forge", COORDINATOR_API_TOKEN="tok-api-0123456789")
    for secret in ("hook-secret", "sk-example", "tok-forge", "tok-api-0123456789"):
        assert secret not in repr(settings)
        assert secret not in str(settings)
        assert secret in settings.secret_values()


SECRETS = [variable.name for variable in VARIABLES if variable.secret]


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_may_come_from_files(load: Load, name: str) -> None:
    """NAME_FILE is read in place of NAME, without its closing newline."""
    path = load.directory / "secret"
    path.write_text("from-a-file-0123456789\n")
    settings = load(**{name: "", f"{name}_FILE": str(path)})
    assert "from-a-file-0123456789" in settings.secret_values()


@pytest.mark.parametrize("name", ["GITEA_WEBHOOK_SECRET", "GITEA_TOKEN", "ANTHROPIC_API_KEY"])
def test_a_secret_of_stray_bytes_is_refused(load: Load, name: str) -> None:
    """Bytes that are no UTF-8 could not be signed with; the line does not show them."""
    line = load.refusal(**{name: "hush\udcff"})
    assert line.startswith(f"{name} holds bytes that are not UTF-8")
    assert "hush" not in line


def test_a_secret_has_one_source(load: Load) -> None:
    """NAME and NAME_FILE together are refused: nobody could say which one counts."""
    assert "both set" in load.refusal(GITEA_WEBHOOK_SECRET_FILE="/run/secrets/hook")


def test_a_secret_file_must_be_readable(load: Load) -> None:
    """An absent or binary secret file is refused with its path."""
    path = load.directory / "secret"
    line = load.refusal(GITEA_WEBHOOK_SECRET="", GITEA_WEBHOOK_SECRET_FILE=str(path))
    assert line.startswith(f"GITEA_WEBHOOK_SECRET_FILE is {str(path)!r}")
    path.write_bytes(b"\xff\xfe")
    assert "UTF-8" in load.refusal(GITEA_WEBHOOK_SECRET="", GITEA_WEBHOOK_SECRET_FILE=str(path))


def test_an_empty_secret_file_is_an_empty_secret(load: Load) -> None:
    """A blank file does not smuggle the empty secret in."""
    path = load.directory / "secret"
    path.write_text("\n")
    line = load.refusal(GITEA_WEBHOOK_SECRET="", GITEA_WEBHOOK_SECRET_FILE=str(path))
    assert line.startswith("GITEA_WEBHOOK_SECRET is empty")


def test_the_data_directory_is_made(load: Load) -> None:
    """A missing DATA_DIR is created with its parents and left empty."""
    settings = load(DATA_DIR=str(load.directory / "deep" / "data"))
    assert list(settings.data_dir.iterdir()) == []


def test_an_unwritable_data_directory_is_refused(load: Load) -> None:
    """A DATA_DIR that cannot be a directory is one line with the reason."""
    (load.directory / "file").write_text("")
    line = load.refusal(DATA_DIR=str(load.directory / "file" / "data"))
    assert line.startswith("DATA_DIR is ")
    assert "Not a directory" in line


# the fleet --------------------------------------------------------------------------------------


def test_a_full_agent_is_read(load: Load) -> None:
    """Every key of an agent arrives in its spec."""
    settings = load.toml(
        """
        [pool]
        logins = ["coder-bot"]
        [[agents]]
        name = "sonnet-1"
        login = "claude-sonnet"
        driver = "rehearsal"
        model = "claude-sonnet-5-5"
        difficulty = "medium"
        slots = 2
        transcript = "/var/log/agent.jsonl"
        [agents.context]
        compact_at = 0.7
        rotate_at = 0.9
        max_sessions = 3
        window_tokens = 150000
        """
    )
    (agent,) = settings.fleet.agents
    assert (agent.name, agent.login, agent.driver) == ("sonnet-1", "claude-sonnet", "rehearsal")
    assert (agent.difficulty, agent.slots, agent.transcript) == ("medium", 2, "/var/log/agent.jsonl")
    assert agent.context == ContextPolicy(
        compact_at=0.7, rotate_at=0.9, max_sessions=3, window_tokens=150_000
    )
    assert settings.fleet.logins == {"coder-bot", "claude-sonnet"}


def test_the_login_defaults_to_the_name(load: Load) -> None:
    """An agent without a login has an account of its own name."""
    assert load.toml('[[agents]]\nname = "opus"\n').fleet.agents[0].login == "opus"


def test_a_pool_alone_makes_one_agent(load: Load) -> None:
    """A file with only a pool gives one external agent named after it."""
    fleet = load.toml('[pool]\nlogins = ["robots", "bots"]\n').fleet
    assert [agent.name for agent in fleet.agents] == ["robots"]
    assert fleet.pool_logins == ("robots", "bots")


def test_a_named_file_must_exist(load: Load) -> None:
    """COORDINATOR_CONFIG that points nowhere is refused; the default path may be absent."""
    line = load.refusal(COORDINATOR_CONFIG="elsewhere.toml")
    assert line.startswith("COORDINATOR_CONFIG names ")
    assert "No such file" in line


def test_a_named_file_is_read(load: Load) -> None:
    """COORDINATOR_CONFIG wins over ./coordinator.toml."""
    (load.directory / "coordinator.toml").write_text("nonsense")
    (load.directory / "other.toml").write_text(AGENT)
    settings = load(COORDINATOR_CONFIG=str(load.directory / "other.toml"))
    assert settings.fleet.agents[0].name == "a"
    assert settings.config_path == load.directory / "other.toml"


def test_every_context_field_has_bounds() -> None:
    """A field added to ContextPolicy gets its range here, or the file could not set it."""
    assert set(CONTEXT_BOUNDS) == {field.name for field in fields(ContextPolicy)}
    for name, bounds in CONTEXT_BOUNDS.items():
        default = getattr(ContextPolicy(), name)
        assert default is None or bounds.admits(default), name


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("pool = [", "is not valid TOML"),
        ("", "[pool] and [[agents]] are missing"),
        ("[pol]\n", "the file has the unknown key 'pol'; did you mean 'pool'?"),
        ("zzz = 1\n", "the file has the unknown key 'zzz'; known: pool, agents"),
        ("[pool]\nlogin = ['x']\n", "[pool] has the unknown key 'login'; did you mean 'logins'?"),
        ("pool = 3\n", "[pool] is 3, expected a table"),
        ("[pool]\nlogins = []\n", "[pool] logins is [], expected a list"),
        ("[pool]\nlogins = 'bot'\n", "[pool] logins is 'bot', expected a list"),
        ("[pool]\nlogins = [3]\n", "[pool] logins holds 3, expected login names"),
        ("[pool]\nlogins = ['b', 'B']\n", "[pool] logins has 'B' twice"),
        ("[agents]\nname = 'a'\n", "write [[agents]] with two brackets"),
        ("agents = [1]\n", "[[agents]] number 1 is 1, expected a table"),
        ("[[agents]]\nlogin = 'x'\n", "[[agents]] number 1: name is missing"),
        ("[[agents]]\nname = 'a b'\n", "agent 'a b': name is 'a b', expected letters"),
        (AGENT + "modle = 'x'\n", "agent 'a' has the unknown key 'modle'; did you mean 'model'?"),
        (AGENT + "model = ''\n", "agent 'a': model is '', expected a model id"),
        (AGENT + "driver = 'claude-code'\n", "driver is 'claude-code', which comes in a later version"),
        (AGENT + "driver = 'rehersal'\n", "did you mean 'rehearsal'?"),
        (AGENT + "difficulty = 'nasty'\n", "difficulty is 'nasty', expected one of easy, medium, hard"),
        (AGENT + "slots = 0\n", "slots is 0, expected a whole number from 1 to 64"),
        (AGENT + "slots = true\n", "slots is True, expected a whole number"),
        (AGENT + "transcript = ''\n", "transcript is '', expected a path"),
        (AGENT + "context = 1\n", "agent 'a': context is 1, expected a table"),
        (AGENT + "[agents.context]\ncompact = 1\n", "did you mean 'compact_at'?"),
        (AGENT + "[agents.context]\ncompact_at = 80\n", "context.compact_at is 80, expected a number"),
        (AGENT + "[agents.context]\nmax_sessions = 1.5\n", "expected a whole number from 1 to 100"),
        (AGENT + "[agents.context]\ncompact_at = 0.96\n", "expected less than rotate_at (0.95)"),
        (AGENT + "[agents.context]\nrearm_points = 0.85\n", "expected less than compact_at (0.8)"),
        (
            AGENT + "[agents.context]\ncompact_cap_tokens = 5000\nrotate_cap_tokens = 5000\n",
            "expected less than rotate_cap_tokens (5000)",
        ),
        (AGENT + "[[agents]]\nname = 'A'\nlogin = 'b'\n", "[[agents]] name has 'A' twice"),
        (AGENT + "[[agents]]\nname = 'b'\nlogin = 'bot-a'\n", "[[agents]] login has 'bot-a' twice"),
        (
            AGENT + "[[agents]]\nname = 'b'\n[pool]\nlogins = ['bot-a']\n",
            "agent 'a': login is 'bot-a', also one of [pool] logins",
        ),
    ],
)
def test_a_bad_file_is_one_line(load: Load, toml: str, expected: str) -> None:
    """The line names the file, the key, the value and the remedy."""
    line = load.toml_refusal(toml)
    assert expected in line
    assert str(load.directory / "coordinator.toml") in line


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"PORT": "9000"}, "http://127.0.0.1:9000"),
        ({"HOST": "::"}, "http://[::1]:8000"),
        ({"HOST": "fd00::5"}, "http://[fd00::5]:8000"),
        ({"HOST": "localhost"}, "http://localhost:8000"),
        ({"COORDINATOR_URL": "https://c.example.org/base/", "PORT": "0"}, "https://c.example.org/base"),
    ],
)
def test_clients_find_the_local_coordinator(environ: dict[str, str], url: str) -> None:
    """COORDINATOR_URL wins; otherwise the loopback address that HOST includes, and PORT."""
    assert local_url(environ) == url


def test_a_picked_port_cannot_be_found(load: Load) -> None:
    """With PORT=0 a client must be told the URL."""
    with pytest.raises(SettingsError, match="set COORDINATOR_URL"):
        local_url({"PORT": "0"})


@pytest.mark.parametrize(
    ("environ", "configured"),
    [
        ({}, False),
        ({"PORT": "8000", "HOST": "0.0.0.0", "DATA_DIR": "/data", "LOG_FORMAT": "json"}, False),
        ({"GITEA_URL": ""}, False),
        ({"GITEA_URL": "http://forge.example.org"}, True),
        ({"GITEA_WEBHOOK_SECRET_FILE": "/run/secrets/hook"}, True),
        ({"PARSER": "rules"}, True),
    ],
)
def test_half_a_configuration_is_one(tmp_path: Path, environ: dict[str, str], configured: bool) -> None:
    """Only where nobody has set anything up beyond the address may the image show its demo."""
    assert is_configured(environ, tmp_path) is configured


def test_a_fleet_file_is_a_configuration(tmp_path: Path) -> None:
    """A coordinator.toml beside the process means business, whatever the environment says."""
    (tmp_path / "coordinator.toml").touch()
    assert is_configured({}, tmp_path)
