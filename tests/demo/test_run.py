"""The demo itself, for real: server, journal, deliveries over HTTP, agents, summary."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from coordinator.demo.run import run_demo

pytestmark = pytest.mark.usefixtures("own_log_setup")


def test_the_story_ends_as_it_must(capsys: pytest.CaptureFixture[str]) -> None:
    """The fast demo plays every scene to a real server and exits 0 with its table."""
    assert run_demo(fast=True) == 0
    text = capsys.readouterr().out
    for words in ("200 duplicate", "401 X-Gitea-Signature", "422 issue.number", "200 ignored",
                  "over to session 2", "compactions", "every issue stands",
                  "│ Waits for: #2", "Last command: maria: estimate 60,000 hard (accepted)",
                  "the forge lost this webhook", "counted as missed: assigned"):  # fmt: skip
        assert words in text
    assert "Traceback" not in text


def test_keep_stays_until_a_signal(tmp_path: Path) -> None:
    """--keep leaves server and forge running after the summary; Ctrl-C ends both with 0 and leaves no
    files."""
    environ = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, "-m", "coordinator", "demo", "--fast", "--keep"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    forge_url = ""
    for line in process.stdout:
        if line.startswith("the forge is at"):
            forge_url = line.split()[4].rstrip(",")
        if line.startswith("still running at http://127.0.0.1:"):
            break
    page = httpx.get(f"{forge_url}/acme/gadgets/issues/2")
    assert (page.status_code, "Cycle: #1" in page.text) == (200, True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.glob("mosaic-demo-*")) == []


def test_an_interrupted_story_is_no_success() -> None:
    """Ctrl-C before the end is exit code 1 and a line, without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-m", "coordinator", "demo"],
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "a hard one for the pool" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (1, "")
    assert "interrupted before the end" in rest


def test_the_bare_image_shows_the_demo_and_stops_cleanly(tmp_path: Path) -> None:
    """`start` without settings plays the demo at HOST and PORT; only health and webhook answer
    strangers; a signal in the middle of the story is no failure."""
    environ = {"PATH": os.environ["PATH"], "HOST": "0.0.0.0", "PORT": str(free_port())}
    command = [sys.executable, "-m", "coordinator", "start"]
    url = f"http://127.0.0.1:{environ['PORT']}"
    with subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "no settings found" in process.stderr.readline()
        wait_healthy(url)
        assert httpx.get(f"{url}/api/v1/issues").status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_healthy(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise TimeoutError(f"{url} never became healthy")
