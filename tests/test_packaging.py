"""What is shipped beside the code says what the code does: examples, README, image."""

import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from coordinator import __version__
from coordinator.config import VARIABLES, Variable, load_settings
from coordinator.config_file import read_fleet
from coordinator.rules.fleet import AgentSpec, ContextPolicy

ROOT = Path(__file__).parent.parent
TOML = ROOT / "coordinator.example.toml"
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def env_example() -> dict[str, str]:
    """Every variable of .env.example with its value, whether commented out or not."""
    found = {}
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"(?:# )?([A-Z][A-Z_]+)=(\S*)", line)
        if match:
            found[match[1]] = match[2]
    return found


def uncommented(text: str) -> str:
    """The TOML with its commented-out settings switched on."""
    return re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)


def readme_command(name: str) -> str:
    match = re.search(rf"<!-- command: {name} -->\n```sh\n(.+)\n```", README)
    assert match is not None
    return match[1]


def test_the_example_fleet_loads() -> None:
    """coordinator.example.toml is a valid fleet as it stands."""
    fleet = read_fleet(TOML)
    assert [agent.name for agent in fleet.agents] == ["sonnet-1", "opus-1"]
    assert fleet.pool_logins == ("coder-bot",)


def test_the_example_fleet_is_valid_with_everything_switched_on(tmp_path: Path) -> None:
    """The lines that are commented out are valid too."""
    path = tmp_path / "all.toml"
    path.write_text(uncommented(TOML.read_text(encoding="utf-8")))
    agent = read_fleet(path).agents[0]
    assert agent.transcript is not None
    assert agent.context.compact_cap_tokens is not None


def test_the_example_fleet_shows_every_key() -> None:
    """Every field of an agent and of its context policy is in the example, and none that is not one."""
    document = tomllib.loads(uncommented(TOML.read_text(encoding="utf-8")))
    first = document["agents"][0]
    assert set(first) == {field.name for field in fields(AgentSpec)}
    assert set(first["context"]) == {field.name for field in fields(ContextPolicy)}


def test_the_example_fleet_shows_the_defaults() -> None:
    """A context value that is switched on in the example is the default."""
    shown = tomllib.loads(TOML.read_text(encoding="utf-8"))["agents"][0]["context"]
    assert shown == {name: getattr(ContextPolicy(), name) for name in shown}


def test_the_example_environment_shows_every_variable() -> None:
    """.env.example has every variable, the file variant of every secret, and nothing else."""
    files = {f"{variable.name}_FILE" for variable in VARIABLES if variable.secret}
    assert set(env_example()) == {variable.name for variable in VARIABLES} | files


def test_the_example_environment_shows_the_defaults() -> None:
    """A value shown in .env.example is the default."""
    shown = env_example()
    for variable in VARIABLES:
        if variable.default and variable.name != "COORDINATOR_URL":
            assert shown[variable.name] == variable.default


def test_the_example_environment_starts_once_filled_in(tmp_path: Path) -> None:
    """With the two empty values filled in and every comment switched on, the settings load."""
    environ = {name: value for name, value in env_example().items() if not name.endswith("_FILE")}
    environ |= {"GITEA_WEBHOOK_SECRET": "x" * 20, "ANTHROPIC_API_KEY": "y" * 20}
    environ["COORDINATOR_CONFIG"] = str(TOML)
    assert load_settings(environ, directory=tmp_path).gitea_url == "https://forge.example.org"


def readme_settings() -> dict[str, list[str]]:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+) \| (.+) \| (.*)\|$", README, flags=re.MULTILINE)
    return {row[0]: [cell.strip() for cell in row[1:]] for row in rows}


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: variable.name)
def test_the_readme_explains_every_variable(variable: Variable) -> None:
    """The table of settings has the variable with its default and no other variables."""
    rows = readme_settings()
    assert set(rows) == {known.name for known in VARIABLES}
    assert variable.default in rows[variable.name][2].replace("`", "")


def test_the_readme_has_its_two_commands() -> None:
    """One line shows the demo from nothing, one line runs all the tests from nothing."""
    demo, tests = readme_command("demo"), readme_command("tests")
    for command in (demo, tests):
        assert shlex.split(command)[:4] == ["python3.11", "-m", "venv", ".venv"]
    assert demo.endswith(".venv/bin/mosaic-coordinator demo")
    assert tests.endswith(".venv/bin/pytest")
    assert ".[dev]" in tests


def test_ci_runs_the_readmes_command() -> None:
    """.ci/run takes the command from the README instead of repeating it, and is executable."""
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert script.stat().st_mode & 0o111
    assert "<!-- command: tests -->" in text
    for check in ("ruff check", "ruff format --check", "mypy --strict", "demo --fast", "fail-under=95"):
        assert check in text
    assert "--include='coordinator/rules/*' --fail-under=100" in text


def test_readme_links_lead_somewhere() -> None:
    """Every relative link of the README is a file of the project."""
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_changelog_knows_this_version() -> None:
    """The version that is shipped has its entry."""
    assert f"## {__version__}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_image_stops_on_sigterm_and_runs_as_nobody_in_particular() -> None:
    """Exec forms (a shell would keep the signal), a numeric user, one volume, a check without curl."""
    assert re.search(r'^ENTRYPOINT \["', DOCKERFILE, flags=re.MULTILINE)
    assert re.search(
        r'^  CMD \["/opt/mosaic/bin/mosaic-coordinator", "health"\]', DOCKERFILE, flags=re.M
    )
    assert re.search(r"^USER [1-9][0-9]*$", DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^VOLUME /data$", DOCKERFILE, flags=re.MULTILINE)
    assert re.search(r"^EXPOSE 8000$", DOCKERFILE, flags=re.MULTILINE)
    assert "curl" not in DOCKERFILE


def test_the_build_context_holds_what_the_image_copies() -> None:
    """.dockerignore lets in exactly the paths that COPY names."""
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY ((?!--)[^\n]+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    assert {line[1:] for line in ignore if line.startswith("!")} == set(" ".join(copied).split())
