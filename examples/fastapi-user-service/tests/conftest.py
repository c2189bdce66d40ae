"""Fixtures: a fake Nacos, and the service as the process that people start."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .fake_nacos import FakeNacos

PROJECT = Path(__file__).parent.parent
PATIENCE_SECONDS = 20.0


def eventually(probe: Callable[[], Any], what: str) -> Any:
    """Polls until `probe` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        result = probe()
        if result:
            return result
        time.sleep(0.02)
    pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """One running service."""

    def __init__(self, nacos: FakeNacos, log: Path, **env: str) -> None:
        self.port = free_port()
        self._log = log
        # Only what the service needs, so that the caller's own NACOS_* variables do not reach it.
        clean = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        settings = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "NACOS_SERVER_ADDR": nacos.address,
            "NACOS_SERVICE_IP": "127.0.0.1",
            "NACOS_HEARTBEAT_INTERVAL": "0.1",
            "DRAIN_SECONDS": "0.3",
            "TMPDIR": str(log.parent),
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "user_service"],
                cwd=PROJECT,
                env={**clean, **settings, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=5.0)
        eventually(self.answers, "the service answers")

    def answers(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the service ended:\n{self._log.read_text()}")
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def json(self, path: str) -> Any:
        return self.http.get(path).json()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def nacos() -> Iterator[FakeNacos]:
    fake = FakeNacos()
    yield fake
    fake.stop()


@pytest.fixture
def start(nacos: FakeNacos, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services and ends them after the test."""
    running: list[Service] = []

    def start_one(**env: str) -> Service:
        running.append(Service(nacos, tmp_path / f"service-{len(running)}.log", **env))
        return running[-1]

    yield start_one
    for service in running:
        service.close()


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()
