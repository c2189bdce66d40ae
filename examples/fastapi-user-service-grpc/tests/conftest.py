"""Fixtures: `pailou registry` for a Nacos, and the service as the process that people start."""

import json
import os
import random
import shutil
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

PROJECT = Path(__file__).parent.parent
PATIENCE_SECONDS = 40.0


def eventually(probe: Callable[[], Any], what: str) -> Any:
    """Polls until `probe` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        result = probe()
        if result:
            return result
        time.sleep(0.02)
    pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_env(**settings: str) -> dict[str, str]:
    """Only what a process needs, so that the caller's own NACOS_* variables do not reach it."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return {**kept, **settings}


class Registry:
    """A Nacos in memory. PAILOU_BIN names the program, or it is the one on the path."""

    def __init__(self, *options: str) -> None:
        self._program = os.environ.get("PAILOU_BIN") or shutil.which("pailou")
        if not self._program:
            pytest.skip("PAILOU_BIN must name the program `pailou`, whose registry the tests use")
        self._options = options
        while not (is_free(port := random.randrange(12000, 31000)) and is_free(port + 1000)):
            pass
        self.address = f"127.0.0.1:{port}"
        self._process: subprocess.Popen | None = None
        self._token = ""

    def start(self) -> "Registry":
        port = self.address.rpartition(":")[2]
        self._process = subprocess.Popen(
            [self._program, "registry", f"--port={port}", *self._options],
            env=clean_env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: not is_free(int(port)), "the registry answers")
        login = self._send("POST", "v1/auth/login", username="nacos", password="nacos")
        self._token = login.json()["accessToken"]
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def publish(self, data_id: str, content: str) -> None:
        place = {"dataId": data_id, "group": "DEFAULT_GROUP"}
        assert self._send("POST", "v1/cs/configs", **place, content=content).text == "true"

    def remove(self, data_id: str) -> None:
        self._send("DELETE", "v1/cs/configs", dataId=data_id, group="DEFAULT_GROUP")

    def register(self, service: str, port: int) -> None:
        place = {"serviceName": service, "ip": "127.0.0.1", "port": str(port)}
        # A persistent one needs no beats.
        assert self._send("POST", "v1/ns/instance", **place, ephemeral="false").text == "ok"

    def instances(self, service: str, **more: str) -> list[dict]:
        return self._send("GET", "v1/ns/instance/list", serviceName=service, **more).json()["hosts"]

    def _send(self, method: str, path: str, **form: str) -> httpx.Response:
        url = f"http://{self.address}/nacos/{path}"
        return httpx.request(method, url, params={**form, "accessToken": self._token}, timeout=5.0)


class Service:
    """One running service."""

    def __init__(self, registry: Registry, log: Path, **env: str) -> None:
        self.port = free_port()
        self._log = log
        settings = {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "NACOS_SERVER_ADDR": registry.address,
            "NACOS_SERVICE_IP": "127.0.0.1",
            "DRAIN_SECONDS": "0.3",
            "TMPDIR": str(log.parent),
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "user_service"],
                cwd=PROJECT,
                env=clean_env(**{**settings, **env}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10.0)
        eventually(self.answers, "the service answers")

    def answers(self) -> bool:
        if self.process.poll() is not None:
            pytest.fail(f"the service ended:\n{self._log.read_text()}")
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def json(self, path: str) -> Any:
        return json.loads(self.http.get(path).text)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry.start()
    registry.stop()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts services and ends them after the test."""
    running: list[Service] = []

    def start_one(registry: Registry, **env: str) -> Service:
        running.append(Service(registry, tmp_path / f"service-{len(running)}.log", **env))
        return running[-1]

    yield start_one
    for service in running:
        service.close()
