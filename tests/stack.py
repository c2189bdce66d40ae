"""A Nacos and a gateway in front of it, for the suites that drive the real binary."""

import os
import random
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PATIENCE_SECONDS = 40.0


@dataclass(frozen=True)
class Gateway:
    """The ports of a gateway that is ready."""

    data: int
    probes: int


def eventually(probe: Callable[[], object], what: str) -> object:
    """Polls until `probe` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if result := probe():
            return result
        time.sleep(0.02)
    pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}")


def send(url: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type and text of the answer."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


@contextmanager
def running(folder: Path, routes: str, instances: list[dict[str, str]]) -> Iterator[Gateway]:
    """The gateway of these routes, whose registry lists these instances, as persistent ones."""
    pailou = os.environ.get("PAILOU_BIN") or shutil.which("pailou")
    if not pailou:
        pytest.fail("PAILOU_BIN must name the program `pailou`")
    port = random.randrange(12000, 31000)
    while _listens(port) or _listens(port + 1000):
        port = random.randrange(12000, 31000)
    registry = _start([pailou, "registry", f"--port={port}"], folder)
    eventually(lambda: _listens(port), "the registry answers")

    def tell(path: str, **query: str) -> None:
        url = f"http://127.0.0.1:{port}/nacos/{path}?{urllib.parse.urlencode(query)}"
        assert send(url, "POST")[0] == 200

    for instance in instances:
        tell("v1/ns/instance", **instance, ip="127.0.0.1", ephemeral="false")
    config = {"dataId": "pailou-routes.yaml", "group": "DEFAULT_GROUP"}
    tell("v1/cs/configs", **config, content=routes)

    data = _free_port()
    while (probes := _free_port()) == data:
        pass
    settings = f"""
listeners: [ {{ address: "127.0.0.1:{data}" }} ]
admin: {{ address: "off" }}
probes: {{ address: "127.0.0.1:{probes}" }}
nacos: {{ servers: ["127.0.0.1:{port}"] }}
registration: {{ enabled: false }}
snapshot: {{ path: "off" }}
"""
    (folder / "gateway.yaml").write_text(settings)
    gateway = _start([pailou, "run", "--config", "gateway.yaml"], folder)

    def is_ready() -> bool:
        try:
            return send(f"http://127.0.0.1:{probes}/readyz")[0] == 200
        except OSError:
            return False

    eventually(is_ready, "the gateway is ready")
    try:
        yield Gateway(data, probes)
    finally:
        for each in (gateway, registry):
            each.kill()
            each.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start(arguments: list[str], folder: Path) -> subprocess.Popen:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        arguments, env=kept, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet
    )
