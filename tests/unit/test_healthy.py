"""What a container's HEALTHCHECK runs: python -m services.healthy."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.servers.ports import free_ports

PROJECT = Path(__file__).parents[2]


@contextmanager
def management(status: int) -> Iterator[int]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz?verbose" else 404)
            self.end_headers()
            self.wfile.write(b'{"checks":{"auth-relay":false}}')

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def asked(port: object, host: str = "0.0.0.0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.healthy"],
        cwd=PROJECT,
        env={"MANAGEMENT_HOST": host, "MANAGEMENT_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_ready_process_is_healthy() -> None:
    with management(200) as port:
        assert asked(port).returncode == 0
        assert asked(port, "127.0.0.1").returncode == 0


def test_one_that_is_not_ready_is_not_and_the_answer_says_why() -> None:
    with management(503) as port:
        done = asked(port)
    assert done.returncode == 1
    assert '"auth-relay":false' in done.stdout


def test_one_that_does_not_answer_is_not_healthy_and_that_is_a_sentence() -> None:
    (port,) = free_ports(1)
    for wrong in (port, "nine thousand"):
        done = asked(wrong)
        assert done.returncode == 1
        assert done.stderr.startswith("The management port does not answer: ")
        assert done.stderr.count("\n") == 1


def test_a_variable_that_is_empty_is_none_as_it_is_to_the_process() -> None:
    assert "invalid literal" not in asked("", "").stderr


def test_a_port_that_is_none_is_a_sentence() -> None:
    done = asked(10**30)
    assert (done.returncode, "does not answer" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_it_costs_next_to_nothing() -> None:
    """It runs every three seconds in every container: of our packages it must load none."""
    script = "import sys; import services.healthy; print([name for name in sys.modules if name in sys.argv[1:]])"
    heavy = ["typer", "asyncio", "httpx", "http.client", "uvloop", "pydantic", "shared"]
    done = subprocess.run(
        [sys.executable, "-c", script, *heavy], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
