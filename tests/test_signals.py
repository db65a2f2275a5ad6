"""How the real process ends: on signals in order and in time, and at once when it cannot start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench.coordinator_process import SECRET, CoordinatorProcess, base_environment, fleet_toml
from coordinator.demo.payloads import ForgeWorld, SignedDelivery

# What a stop takes beyond its deadlines on a machine with other things to do.
SLACK_S = 30.0
STUBBORN = (sys.executable, "-m", "tests.fakes.stubborn_coordinator")


@contextmanager
def serving(tmp_path: Path, **settings: str) -> Iterator[CoordinatorProcess]:
    """A coordinator that is up."""
    with CoordinatorProcess(base_environment(tmp_path, **settings), tmp_path / "log") as process:
        yield process.wait_ready()


def a_delivery() -> SignedDelivery:
    _, deliveries = ForgeWorld("gitea", SECRET).open("acme/widgets", "Rows are lost", "a text")
    return deliveries[-1]


def request_of(delivery: SignedDelivery) -> bytes:
    head = [f"{name}: {value}" for name, value in delivery.headers]
    lines = ["POST /webhook/gitea HTTP/1.1", "Host: a", *head, f"Content-Length: {len(delivery.body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + delivery.body


def connect(process: CoordinatorProcess) -> socket.socket:
    return socket.create_connection((process.host, process.port), timeout=SLACK_S)


def answer_of(line: socket.socket) -> bytes:
    """Everything until the server closes."""
    received = b""
    with suppress(ConnectionResetError):
        while chunk := line.recv(65_536):
            received += chunk
    return received


def wait_in_flight(process: CoordinatorProcess, connections: int) -> None:
    """Return once the server has so many connections open, the one that asks not counted."""
    until_s = time.monotonic() + SLACK_S
    while time.monotonic() < until_s:
        _, health = process.get("/health")
        if health["connections"]["open"] > connections:
            return
    raise TimeoutError(f"{connections} connections never arrived")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_in_order_with_exit_code_0(tmp_path: Path, number: signal.Signals) -> None:
    """An idle coordinator ends by itself after one signal, long before any deadline, and says so."""
    with serving(tmp_path, SHUTDOWN_TIMEOUT_S="600") as process:
        process.send(number)
        assert process.wait_exit(SLACK_S) == 0
        events = [line["event"] for line in process.lines()]
    assert "stopping" in events
    assert events[-1] == "stopped"


def test_a_request_in_flight_is_finished_before_the_end(tmp_path: Path) -> None:
    """A delivery whose second half arrives after SIGTERM is stored and answered 200; new connections
    are refused meanwhile."""
    whole = request_of(a_delivery())
    with serving(tmp_path, SHUTDOWN_TIMEOUT_S="600") as process, connect(process) as line:
        line.sendall(whole[:-100])
        wait_in_flight(process, 1)
        process.send(signal.SIGTERM)
        process.wait_line("stopping")
        wait_refused(process)
        line.sendall(whole[-100:])
        assert answer_of(line).startswith(b"HTTP/1.1 200")
        assert process.wait_exit(SLACK_S) == 0


def wait_refused(process: CoordinatorProcess) -> None:
    until_s = time.monotonic() + SLACK_S
    while time.monotonic() < until_s:
        try:
            connect(process).close()
        except ConnectionRefusedError:
            return
    raise TimeoutError("connections are still accepted")


def test_a_long_poll_never_holds_up_a_stop(tmp_path: Path) -> None:
    """An agent waiting for orders is answered at once on SIGTERM, with what there is: nothing."""
    config = tmp_path / "coordinator.toml"
    config.write_text(fleet_toml(1))
    with (
        serving(tmp_path, COORDINATOR_CONFIG=str(config), SHUTDOWN_TIMEOUT_S="600") as process,
        connect(process) as line,
    ):
        line.sendall(b"GET /api/v1/agents/agent-0/orders?wait_s=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        wait_in_flight(process, 1)
        process.send(signal.SIGTERM)
        answer = answer_of(line)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b'"orders":[]' in answer.replace(b" ", b"")
        assert process.wait_exit(SLACK_S) == 0


def test_a_client_that_dawdles_is_cut_at_the_deadline(tmp_path: Path) -> None:
    """A body that never comes delays the end by SHUTDOWN_TIMEOUT_S at most; the code is still 0."""
    whole = request_of(a_delivery())
    with serving(tmp_path, SHUTDOWN_TIMEOUT_S="0.5") as process, connect(process) as line:
        line.sendall(whole[:-100])
        wait_in_flight(process, 1)
        process.send(signal.SIGTERM)
        assert process.wait_exit(SLACK_S) == 0
        assert b" 408 " not in answer_of(line)  # which it gets when its own time is up


def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """With minutes of grace left for a client that dawdles, a second signal ends it now, in order."""
    whole = request_of(a_delivery())
    with serving(tmp_path, SHUTDOWN_TIMEOUT_S="600") as process, connect(process) as line:
        line.sendall(whole[:-100])
        wait_in_flight(process, 1)
        process.send(signal.SIGTERM)
        process.wait_line("stopping", asked=1)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait_exit(0.5)
        process.send(signal.SIGINT)
        assert process.wait_exit(SLACK_S) == 0


def test_a_third_signal_forces(tmp_path: Path) -> None:
    """Where no cancellation gets through, the third signal ends the process with 128 + its number."""
    config = tmp_path / "coordinator.toml"
    config.write_text(fleet_toml(1))
    environment = base_environment(tmp_path, COORDINATOR_CONFIG=str(config))
    with CoordinatorProcess(environment, tmp_path / "log", command=STUBBORN) as process:
        process.wait_ready()
        process.wait_line("stubborn")
        process.send(signal.SIGTERM)
        process.wait_line("stopping", asked=1)
        process.send(signal.SIGTERM)
        process.wait_line("stopping", asked=2)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait_exit(0.5)
        process.send(signal.SIGINT)
        assert process.wait_exit(SLACK_S) == 128 + signal.SIGINT


def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    """SIGTERM before the tree is up cancels the start; nothing of it stays behind."""
    environment = base_environment(tmp_path)
    with CoordinatorProcess(environment, tmp_path / "log") as process:
        while not (tmp_path / "journal.sqlite3").exists():
            assert process.process.poll() is None, process.words()
        process.send(signal.SIGTERM)
        assert process.wait_exit(SLACK_S) == 0
        assert "Traceback" not in process.words()
    with serving(tmp_path) as process:
        assert process.stop() == 0


# that cannot start ------------------------------------------------------------------------------


def refused(environment: dict[str, str]) -> str:
    """The one line a coordinator ends with that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "coordinator", "serve"],
        env=environment,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("mosaic-coordinator: ")
    return lines[0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"GITEA_WEBHOOK_SECRET": None}, "GITEA_WEBHOOK_SECRET is not set"),
        ({"GITEA_WEBHOOK_SECRET": ""}, "GITEA_WEBHOOK_SECRET is empty"),
        ({"GITEA_WEBHOOK_SECRET": "one,,two"}, "GITEA_WEBHOOK_SECRET"),
        ({"GITEA_URL": None}, "GITEA_URL is not set"),
        ({"PARSER": "claude"}, "ANTHROPIC_API_KEY is not set"),
        ({"PORT": "eighty"}, "PORT is 'eighty'"),
        ({"HOST": "203.0.113.7"}, "HOST"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line(
    tmp_path: Path, wrong: dict[str, str | None], named: str
) -> None:
    """A missing, empty or wrong setting ends the start with exit code 2 and one line that names it."""
    environment: dict[str, str | None] = {**base_environment(tmp_path), **wrong}
    line = refused({name: value for name, value in environment.items() if value is not None})
    assert named in line


def test_an_unknown_key_in_the_toml_is_named(tmp_path: Path) -> None:
    """A misspelt key in coordinator.toml is refused by name, with the key it might have been."""
    config = tmp_path / "coordinator.toml"
    config.write_text(fleet_toml(1).replace("slots", "slotz"))
    line = refused(base_environment(tmp_path, COORDINATOR_CONFIG=str(config)))
    assert "'slotz'" in line
    assert "'slots'" in line


def test_a_data_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """DATA_DIR below a plain file cannot exist, not even for root."""
    (tmp_path / "file").write_text("")
    line = refused(base_environment(tmp_path / "file" / "data"))
    assert "DATA_DIR" in line


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """A port somebody listens on is refused with its number."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(base_environment(tmp_path, PORT=str(port)))
    assert "PORT" in line
    assert str(port) in line


def test_a_second_process_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    """The second coordinator on one DATA_DIR is told so and ends; the first goes on undisturbed."""
    with serving(tmp_path) as process:
        line = refused(base_environment(tmp_path))
        assert "in use by another process" in line
        with connect(process) as sender:
            sender.sendall(request_of(a_delivery()))
            assert sender.recv(65_536).startswith(b"HTTP/1.1 200")
        assert process.stop() == 0


def test_a_corrupt_journal_is_refused_and_kept(tmp_path: Path) -> None:
    """A file that is no database is neither changed nor removed; the line says how to restore."""
    journal = tmp_path / "journal.sqlite3"
    garbage = os.urandom(16_384)
    journal.write_bytes(garbage)
    line = refused(base_environment(tmp_path))
    assert str(journal) in line
    assert "restore" in line
    assert journal.read_bytes() == garbage
