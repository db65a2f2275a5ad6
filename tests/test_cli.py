"""The command line, against real servers and real processes."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coordinator import __version__
from coordinator.cli import complaint, main
from coordinator.edges.journal_open import open_connection
from coordinator.errors import JournalCorrupt, JournalInUse, SettingsError

SETTINGS = {
    "GITEA_URL": "https://forge.example.org",
    "GITEA_WEBHOOK_SECRET": "example-secret",
    "PARSER": "rules",
    "HOST": "127.0.0.1",
    "PORT": "0",
}
ISSUE: dict[str, Any] = {
    "issue": "acme/widgets#12",
    "title": "Trim \x1b[31mblanks",
    "html_url": "https://forge/12",
    "state": "blocked",
    "reason": "cycle",
    "evidence": "in a cycle",
    "next_check_at": "2026-07-14T10:00:00Z",
    "assignees": ["coder-bot"],
    "priority": 3,
    "parsed_by": "rules",
    "open_blockers": ["acme/widgets#1"],
    "unknown_blockers": ["acme/widgets#99"],
    "cycle": ["acme/widgets#12", "acme/widgets#1"],
    "metadata": {
        "estimated_context_tokens": 30000,
        "difficulty": "easy",
        "suggested_agent": None,
        "blocks": [],
        "blocked_by": ["acme/widgets#1"],
        "summary": "",
        "confidence": 0.5,
    },
    "agent": "sonnet-1",
    "run": "acme/widgets#12@1",
    "dispatches": 1,
    "compactions": 2,
    "rotations": 1,
    "peak_tokens": 190000,
    "updated_at": "2026-07-14T10:00:00Z",
    "timeline": [
        {
            "seq": 4,
            "at": "2026-07-14T10:00:00Z",
            "actor": "router",
            "delivery": "d-1",
            "type": "IssueObserved",
            "event": {},
        }
    ],
}
BARE_ISSUE = ISSUE | {
    "html_url": "",
    "next_check_at": None,
    "assignees": [],
    "open_blockers": [],
    "unknown_blockers": [],
    "cycle": [],
    "metadata": None,
    "run": None,
    "dispatches": 0,
    "timeline": [],
}
ROUTER: dict[str, Any] = {
    "id": "router",
    "status": "restarting",
    "restarts": 2,
    "handled": 7,
    "mailbox": {"depth": 3, "capacity": 64},
    "last_error": {"type": "ValueError", "message": "no such thing", "at": ""},
    "children": [],
}
WEB: dict[str, Any] = {"id": "web", "status": "running", "restarts": 0, "mailbox": None}
ROOT: dict[str, Any] = {"id": "root", "status": "running", "restarts": 0, "children": [ROUTER, WEB]}
LETTER: dict[str, Any] = {
    "id": 7,
    "at": "2026-07-14T10:00:00Z",
    "actor": "router",
    "item": 3,
    "message": "Wake()",
    "first_error": "ValueError: x",
    "second_error": "ValueError: y",
    "replayed_at": "2026-07-14T11:00:00Z",
}


class Canned:
    """A server on loopback that answers what a test told it to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str | None]] = []
        canned = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                self._answer()

            def _answer(self) -> None:
                canned.asked.append((f"{self.command} {self.path}", self.headers["authorization"]))
                status, body = canned.answers.get(self.path, (404, b"{}"))
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, value: object, status: int = 200) -> None:
        self.answers[path] = (status, json.dumps(value).encode())


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Canned]:
    server = Canned()
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("COORDINATOR_URL", server.url)
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("GITEA_", "COORDINATOR_", "ANTHROPIC_", "PARSER", "DATA_DIR", "LOG_")):
            monkeypatch.delenv(name)
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def nobody_listens() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


# words ------------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the name and the version."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mosaic-coordinator {__version__}\n"


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]) -> None:
    """--help names every command and shows how each is used."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for command in (
        "serve",
        "demo",
        "hook",
        "doctor",
        "state",
        "explain",
        "deadletters",
        "backup",
        "health",
    ):
        assert re.search(rf"^    {command}( |$)", text, flags=re.MULTILINE)
    assert "mosaic-coordinator explain acme/widgets#12" in text
    assert "exit codes" in text


@pytest.mark.parametrize("words", [[], ["fly"], ["demo", "--port", "70000"], ["demo", "--port", "x"]])
def test_wrong_words_are_usage_errors(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the command line does not know ends with exit code 2 and the usage."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


# a failed start ---------------------------------------------------------------------------------


def test_a_missing_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """serve without settings says which one is missing, without a traceback, and exits with 2."""
    assert main(["serve"]) == 2
    output = capsys.readouterr()
    assert output.err.startswith("mosaic-coordinator: GITEA_WEBHOOK_SECRET is not set")
    assert output.err.count("\n") == 1
    assert output.out == ""


def test_a_complaint_is_found_deep_inside() -> None:
    """An operator's error is found in groups and causes, and is put on one line."""
    try:
        try:
            raise JournalCorrupt("the file\nis damaged")
        except JournalCorrupt as problem:
            raise RuntimeError("child failed") from problem
    except RuntimeError as problem:
        group = ExceptionGroup("tree", [ValueError("other"), ExceptionGroup("deeper", [problem])])
    assert complaint(group) == "the file is damaged"
    assert complaint(ValueError("ours")) is None


def test_a_complaint_survives_circles() -> None:
    """Causes that lead back to themselves end the search."""
    first, second = JournalInUse("held"), ValueError("x")
    first.__cause__, second.__cause__ = second, first
    assert complaint(second) == "held"


def test_what_was_hidden_on_purpose_stays_hidden() -> None:
    """`raise … from None` cuts the search as it cuts the traceback."""
    hidden = ValueError("outer")
    hidden.__context__ = SettingsError("inner")
    assert complaint(hidden) == "inner"
    hidden.__suppress_context__ = True
    assert complaint(hidden) is None


# health -----------------------------------------------------------------------------------------


def test_health_is_the_exit_code(canned: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    """200 is 0, anything else is 1, and one line says what is missing."""
    canned.answer("/health", {"status": "ok", "degraded": ["no-forge-token"]})
    assert main(["health"]) == 0
    assert capsys.readouterr().out == "healthy: 200 ok; degraded: no-forge-token\n"
    canned.answer("/health", {"status": "failing", "degraded": []}, status=503)
    assert main(["health"]) == 1
    assert capsys.readouterr().out == "unhealthy: 503 failing\n"


@pytest.mark.parametrize("body", [b"<html>", b"[]"])
def test_health_takes_any_answer(
    canned: Canned, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer that is no health report is shown as such."""
    canned.answers["/health"] = (200, body)
    assert main(["health", "--url", canned.url]) == 0
    assert "(no" in capsys.readouterr().out


def test_health_without_anybody_there(capsys: pytest.CaptureFixture[str]) -> None:
    """A refused connection is 1 and one line."""
    assert main(["health", "--url", nobody_listens()]) == 1
    assert capsys.readouterr().out.startswith("unreachable: http://127.0.0.1:")


# asking -----------------------------------------------------------------------------------------


def test_state_is_a_tree(canned: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per child: status, restarts, queue and last error."""
    canned.answer("/state", {"schema": "/state/schema", "tree": ROOT, "zombies": []})
    assert main(["state"]) == 0
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if "router" in line)
    for words in ("restarting", "2 restarts", "3/64 queued", "7 handled"):
        assert words in line
    assert "ValueError: no such thing" in line


def test_state_of_one_actor_shows_everything(
    canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """--actor asks for one node and prints all of it."""
    canned.answer("/state?actor=monitor%3Aa", {"tree": ROUTER})
    assert main(["state", "--actor", "monitor:a"]) == 0
    assert '"capacity": 64' in capsys.readouterr().out


def test_state_as_json(canned: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    """--json passes the dump on as it came."""
    canned.answer("/state", {"tree": {"root": ROOT}})
    assert main(["state", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tree": {"root": ROOT}}


def test_explain_says_why(canned: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    """State, reason and evidence come first, then what is known; no control character reaches the
    terminal."""
    canned.answer("/api/v1/issues/acme/widgets/12", ISSUE)
    assert main(["explain", "Acme/Widgets#12"]) == 0
    text = capsys.readouterr().out
    for words in ("blocked (cycle): in a cycle", "acme/widgets#12 → acme/widgets#1", "190,000 tokens",
                  "easy, about 30,000 tokens (by rules)", "acme/widgets#99", "IssueObserved",
                  "2026-07-14 10:00:00"):  # fmt: skip
        assert words in text
    assert "\x1b" not in text


def test_explain_of_an_issue_that_waits_for_itself(
    canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cycle of one is said in words."""
    canned.answer("/api/v1/issues/acme/widgets/12", BARE_ISSUE | {"cycle": ["acme/widgets#12"]})
    assert main(["explain", "acme/widgets#12"]) == 0
    assert "it waits for itself" in capsys.readouterr().out


def test_explain_of_an_issue_nobody_works_on(
    canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not known is left out."""
    canned.answer("/api/v1/issues/acme/widgets/12", BARE_ISSUE)
    assert main(["explain", "acme/widgets#12"]) == 0
    text = capsys.readouterr().out
    assert "nobody" in text
    assert "estimate" not in text
    canned.answer("/api/v1/issues/acme/widgets/12", BARE_ISSUE)
    assert main(["explain", "acme/widgets#12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == BARE_ISSUE


def test_explain_wants_an_issue(capsys: pytest.CaptureFixture[str]) -> None:
    """A ref that is none is refused before anybody is asked."""
    assert main(["explain", "twelve"]) == 1
    assert "expected owner/name#12" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "count", "line"),
    [
        (["refresh"], 3, "looking at 3 repositories now"),
        (["refresh", "--repo", "acme/widgets"], 1, "looking at 1 repository now"),
    ],
)
def test_a_refresh_says_how_many(
    words: list[str], count: int, line: str, canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sweep begins now, for all or for one; how many repositories that are is printed."""
    canned.answer("/api/v1/refresh", {"repositories": count}, 202)
    assert main(words) == 0
    assert capsys.readouterr().out.strip() == line


def test_a_refresh_without_a_token_names_the_setting(
    canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """The coordinator's refusal is the line that is shown."""
    error = {"error": {"code": "no_forge_token", "message": "set GITEA_TOKEN"}}
    canned.answer("/api/v1/refresh", error, 503)
    assert main(["refresh"]) == 1
    assert "set GITEA_TOKEN" in capsys.readouterr().err


def test_dead_letters_are_listed_and_replayed(
    canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list shows the error; replay names the letter to the coordinator."""
    canned.answer("/api/v1/deadletters", {"dead_letters": [LETTER, {**LETTER, "replayed_at": None}]})
    assert main(["deadletters"]) == 0
    assert "ValueError: y" in capsys.readouterr().out
    canned.answer("/api/v1/deadletters", {"dead_letters": []})
    assert main(["deadletters", "list"]) == 0
    assert capsys.readouterr().out == "no dead letters\n"
    canned.answer("/api/v1/deadletters/7/replay", LETTER)
    assert main(["deadletters", "replay", "7"]) == 0
    assert canned.asked[-1][0] == "POST /api/v1/deadletters/7/replay"
    assert main(["deadletters", "replay"]) == 1


def test_the_token_is_sent_and_its_absence_explained(
    canned: Canned, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """COORDINATOR_API_TOKEN goes along as the bearer; a 401 says which variable to set."""
    refused = {"error": {"code": "unauthorized", "message": "send the token"}}
    canned.answer("/state", refused, status=401)
    assert main(["state"]) == 1
    assert "401 unauthorized: send the token; set COORDINATOR_API_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("COORDINATOR_API_TOKEN", "0123456789abcdef")
    main(["state"])
    assert [token for _, token in canned.asked] == [None, "Bearer 0123456789abcdef"]


def test_a_refusal_without_our_envelope(canned: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody else's error page is reported by its status."""
    canned.answers["/state"] = (502, b"<html>")
    assert main(["state"]) == 1
    assert "/state answered 502" in capsys.readouterr().err


def test_nobody_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """No coordinator: one line with the address and what to do, exit code 1."""
    assert main(["state", "--url", nobody_listens()]) == 1
    line = capsys.readouterr().err
    assert line.startswith("mosaic-coordinator: no coordinator answers at http://127.0.0.1:")
    assert line.count("\n") == 1


def test_an_answer_that_breaks_off_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A server that hangs up is told from one that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert main(["state", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}"]) == 1
        thread.join()
    assert "was not answered" in capsys.readouterr().err


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"null", b"{}", b'{"tree": null}'])
@pytest.mark.parametrize("words", [["state"], ["explain", "acme/widgets#12"], ["deadletters"]])
def test_an_answer_of_another_version_is_one_line(
    canned: Canned, words: list[str], body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be read is reported, not thrown."""
    for path in ("/state", "/api/v1/issues/acme/widgets/12", "/api/v1/deadletters"):
        canned.answers[path] = (200, body)
    assert main(words) == 1
    assert "shape this version does not know" in capsys.readouterr().err


def test_ctrl_c_while_waiting_is_silent() -> None:
    """An impatient Ctrl-C ends a client command with 130 and without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        asking = subprocess.Popen(
            [sys.executable, "-m", "coordinator", "state", "--url", url],
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(10)
            asking.send_signal(signal.SIGINT)
            _, errors = asking.communicate(timeout=60)
    assert (asking.returncode, errors) == (130, "")


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "http://",
        "http://[::1",
        "http://a:99999",
        "http://a:x",
        "ftp://a",
        "http://me:hunter2@a",
    ],
)
def test_a_url_is_a_url(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--url that is none is refused with what was expected, also by the health check; a password in it
    is not printed."""
    assert main(["state", "--url", url]) == 1
    complaint = capsys.readouterr().err
    assert main(["health", "--url", url]) == 1
    report = capsys.readouterr().out
    assert "expected http(s)://host[:port]" in complaint
    assert "expected http(s)://host[:port]" in report
    assert report.startswith("unreachable: ")
    assert "hunter2" not in complaint + report


# backup -----------------------------------------------------------------------------------------


def test_a_running_coordinators_copy_is_fetched(
    canned: Canned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The coordinator makes the copy; --to moves it where it was asked for."""
    made = tmp_path / "made.sqlite3"
    made.write_bytes(b"copy")
    canned.answer("/api/v1/backup", {"path": str(made), "size_bytes": 4})
    assert main(["backup"]) == 0
    assert "made.sqlite3 (4 bytes)" in capsys.readouterr().out
    assert main(["backup", "--to", str(tmp_path / "mine.sqlite3")]) == 0
    assert (tmp_path / "mine.sqlite3").read_bytes() == b"copy"
    assert not made.exists()


def test_a_copy_on_another_machine_is_named(canned: Canned, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --to the path over there is printed; with --to the line says why it cannot be moved."""
    canned.answer("/api/v1/backup", {"path": "/elsewhere/copy.sqlite3", "size_bytes": 4})
    assert main(["backup"]) == 0
    assert capsys.readouterr().out == "/elsewhere/copy.sqlite3 (4 bytes)\n"
    assert main(["backup", "--to", "mine.sqlite3"]) == 1
    assert "on the coordinator's machine" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["missing/mine.sqlite3", "file/mine.sqlite3"])
def test_a_copy_that_cannot_be_moved_is_still_named(
    canned: Canned, target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target that cannot be written is one line, which says where the copy is; it is kept."""
    made = tmp_path / "made.sqlite3"
    made.write_bytes(b"copy")
    (tmp_path / "file").touch()
    canned.answer("/api/v1/backup", {"path": str(made), "size_bytes": 4})
    assert main(["backup", "--to", str(tmp_path / target)]) == 1
    assert f"cannot be written ({os.strerror(2 if 'missing' in target else 20)})" in (
        errors := capsys.readouterr().err
    )
    assert errors.endswith(f"the copy was made at {made}\n")
    assert made.read_bytes() == b"copy"


def test_another_machines_journal_is_not_copied_from_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When a coordinator elsewhere does not answer, the journal of this machine is not its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal.sqlite3").touch()
    assert main(["backup", "--url", "http://elsewhere.invalid"]) == 1
    assert "no coordinator answers at http://elsewhere.invalid" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["journal.sqlite3"]


def test_a_copy_at_rest_that_cannot_be_made_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the folder of the copies cannot be, the line names it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal.sqlite3").touch()
    (tmp_path / "data" / "backups").touch()
    assert main(["backup", "--url", nobody_listens()]) == 1
    assert f"data/backups cannot be made ({os.strerror(17)})" in capsys.readouterr().err


def test_a_copy_at_rest_keeps_what_the_coordinator_would_keep(tmp_path: Path) -> None:
    """The command does not know RETENTION_DAYS, so an old body stays in the journal and its copy."""
    journal, copy = tmp_path / "data" / "journal.sqlite3", tmp_path / "copy.sqlite3"
    journal.parent.mkdir()
    with closing(open_connection(journal)) as connection:
        connection.execute(
            "INSERT INTO delivery (id, event, event_type, received_at, outcome)"
            " VALUES ('d', 'issues', 'issues', 0, 'observed')"
        )
        connection.execute("INSERT INTO delivery_body (seq, headers, body) VALUES (1, '[]', x'00')")
    assert main(["backup", "--url", nobody_listens(), "--to", str(copy)]) == 0
    for path in (journal, copy):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM delivery_body").fetchone() == (1,)


def test_a_backup_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An existing target is refused before anybody is asked."""
    (tmp_path / "mine").write_text("precious")
    assert main(["backup", "--to", str(tmp_path / "mine")]) == 1
    assert "never overwrites" in capsys.readouterr().err


def test_a_refused_backup_is_not_made_behind_the_coordinators_back(
    canned: Canned, capsys: pytest.CaptureFixture[str]
) -> None:
    """While a coordinator answers, its no is final."""
    canned.answer("/api/v1/backup", {"error": {"code": "backup_failed", "message": "disk"}}, status=503)
    assert main(["backup"]) == 1
    assert "503 backup_failed: disk" in capsys.readouterr().err


def test_without_coordinator_and_journal_there_is_nothing_to_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the journal that was looked for."""
    assert main(["backup", "--url", nobody_listens()]) == 1
    assert "there is no journal at data/journal.sqlite3: set DATA_DIR" in capsys.readouterr().err


# real processes ---------------------------------------------------------------------------------


class Served:
    """`mosaic-coordinator serve` as a process of its own."""

    def __init__(self, directory: Path, **settings: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "coordinator", "serve"],
            cwd=directory,
            env={**os.environ, **SETTINGS, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_started(self) -> str:
        """The URL, from the log line that says so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "started":
                return str(event["url"])
        raise AssertionError(self.process.communicate()[1])

    def wait_ended(self) -> tuple[int, str]:
        """Exit code and stderr."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.wait_ended()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    server = Served(tmp_path)
    yield server
    if server.process.poll() is None:
        server.process.kill()
        server.wait_ended()


def test_a_real_coordinator_is_asked_everything(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """health, state, explain, deadletters and backup work against the real thing; it stops with 0."""
    url = served.wait_started()
    assert main(["health", "--url", url]) == 0
    assert main(["state", "--url", url]) == 0
    text = capsys.readouterr().out
    for actor in ("journal", "router", "parser", "dispatcher", "monitor:coder-bot", "web"):
        assert actor in text
    assert main(["state", "--url", url, "--actor", "router"]) == 0
    assert main(["explain", "--url", url, "acme/widgets#1"]) == 1
    assert "404 not_found" in capsys.readouterr().err
    assert main(["deadletters", "--url", url]) == 0
    assert main(["backup", "--url", url, "--to", str(tmp_path / "copy.sqlite3")]) == 0
    assert (tmp_path / "copy.sqlite3").stat().st_size > 0
    assert served.stop() == (0, "")


def test_a_second_coordinator_is_refused_in_one_line(served: Served, tmp_path: Path) -> None:
    """One journal, one process: the second one says so and exits with 2."""
    served.wait_started()
    code, errors = Served(tmp_path).wait_ended()
    assert code == 2
    assert errors.startswith("mosaic-coordinator: ")
    assert errors.count("\n") == 1


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """The line names PORT, its value and the remedy; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, errors = Served(tmp_path, PORT=str(port)).wait_ended()
    assert code == 2
    assert errors.startswith(f"mosaic-coordinator: PORT={port}: another program listens")
    assert errors.count("\n") == 1


def test_a_stopped_coordinators_journal_is_copied_at_rest(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With no process running, backup opens the journal itself."""
    served.wait_started()
    served.stop()
    assert main(["backup", "--url", nobody_listens()]) == 0
    assert len(list((tmp_path / "data" / "backups").iterdir())) == 1


def test_ctrl_c_is_a_clean_stop(served: Served) -> None:
    """SIGINT stops like SIGTERM: exit code 0, nothing on stderr."""
    served.wait_started()
    served.process.send_signal(signal.SIGINT)
    assert served.wait_ended() == (0, "")
