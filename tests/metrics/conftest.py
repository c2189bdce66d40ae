"""Fixtures: a registry, a service, and a gateway that has had traffic of every kind."""

import http.server
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PATIENCE_SECONDS = 40.0

# A route's id may be anything: it must come through as a label.
ODD_ROUTE = 'odd "id" \\ of a route'

ROUTES = f"""
routes:
  /api/**: user-service
  /empty/**: nobody-service
  '{ODD_ROUTE}': {{ path: /odd/**, service: user-service }}
"""


def eventually(probe: Callable[[], object], what: str) -> object:
    """Polls until `probe` gives something true, and returns that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if result := probe():
            return result
        time.sleep(0.02)
    pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path ends in; events for a path that asks for them."""

    def answer(self) -> None:
        last = self.path.rsplit("/", 1)[-1]
        is_stream = last == "events"
        body = b"data: 1\n\n" if is_stream else b"hello\n"
        self.send_response(int(last) if last.isdigit() else 200)
        self.send_header("content-type", "text/event-stream" if is_stream else "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_BREW = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def service_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def start(arguments: list[str], folder: Path) -> subprocess.Popen:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        arguments, env=kept, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet
    )


def send(url: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
    """Status, content type and text of the answer."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["content-type"], error.read().decode()


@pytest.fixture(scope="session")
def metrics_url(service_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the gateway's metrics are, once they have something to tell."""
    pailou = os.environ.get("PAILOU_BIN") or shutil.which("pailou")
    if not pailou:
        pytest.fail("PAILOU_BIN must name the program `pailou`")
    folder = tmp_path_factory.mktemp("gateway")
    port = random.randrange(12000, 31000)
    while listens(port) or listens(port + 1000):
        port = random.randrange(12000, 31000)
    registry = start([pailou, "registry", f"--port={port}"], folder)
    eventually(lambda: listens(port), "the registry answers")

    def tell(method: str, path: str, **query: str) -> None:
        url = f"http://127.0.0.1:{port}/nacos/{path}?{urllib.parse.urlencode(query)}"
        assert send(url, method)[0] == 200

    place = {"serviceName": "user-service", "ip": "127.0.0.1", "port": str(service_port)}
    tell("POST", "v1/ns/instance", **place, ephemeral="false")
    config = {"dataId": "pailou-routes.yaml", "group": "DEFAULT_GROUP"}
    tell("POST", "v1/cs/configs", **config, content=ROUTES)

    data = free_port()
    while (probes := free_port()) == data:
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
    gateway = start([pailou, "run", "--config", "gateway.yaml"], folder)

    def is_ready() -> bool:
        try:
            return send(f"http://127.0.0.1:{probes}/readyz")[0] == 200
        except OSError:
            return False

    eventually(is_ready, "the gateway is ready")
    for method, path, status in [
        ("GET", "api/a", 200),
        ("POST", "api/404", 404),
        ("BREW", "api/418", 418),
        ("GET", "api/events", 200),
        ("GET", "odd/a", 200),
        ("GET", "empty/a", 503),
        ("GET", "nowhere", 404),
    ]:
        assert send(f"http://127.0.0.1:{data}/{path}", method)[0] == status, path
    url = f"http://127.0.0.1:{probes}/metrics"

    def counted() -> float:
        lines = send(url)[2].splitlines()
        found = [line for line in lines if line.startswith("pailou_requests_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    eventually(lambda: counted() == 7, "all requests are counted")
    yield url
    for each in (gateway, registry):
        each.kill()
        each.wait()
