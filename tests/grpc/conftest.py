"""Fixtures: `pailou registry`, a gateway in front of it, and a gRPC service of grpcio."""

import http.server
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

PATIENCE_SECONDS = 40.0


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


@pytest.fixture(scope="session")
def pailou() -> str:
    program = os.environ.get("PAILOU_BIN") or shutil.which("pailou")
    if not program:
        pytest.fail("PAILOU_BIN must name the program `pailou`")
    return program


def start(arguments: list[str], folder: Path) -> subprocess.Popen:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        arguments, env=kept, cwd=folder, stdin=quiet, stdout=quiet, stderr=quiet
    )


class Echo(grpc.GenericRpcHandler):
    """Methods by name, on messages of plain bytes."""

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return {
            "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/test.Echo/Client": grpc.stream_unary_rpc_method_handler(self.client),
            "/test.Echo/Server": grpc.unary_stream_rpc_method_handler(self.server),
            "/test.Echo/Both": grpc.stream_stream_rpc_method_handler(self.both),
            "/test.Echo/Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/test.Echo/Slow": grpc.unary_unary_rpc_method_handler(self.slow),
        }.get(call.method)

    def unary(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-trailing", "yes"),))
        return message

    def client(self, messages: Iterator[bytes], _context: grpc.ServicerContext) -> bytes:
        return b"".join(messages)

    def server(self, message: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(int(message)):
            yield str(number).encode()

    def both(self, messages: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from messages

    def fail(self, _message: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today")

    def slow(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        while context.is_active():
            time.sleep(0.05)
        return message


@pytest.fixture(scope="session")
def service_port() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None)


@pytest.fixture(scope="session")
def page_port() -> Iterator[int]:
    """The port of a server of HTTP/1.1 that knows one page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "4")
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="session")
def gateway(
    pailou: str, service_port: int, page_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a gateway whose registry lists the service as one of gRPC."""
    folder = tmp_path_factory.mktemp("gateway")
    port = random.randrange(12000, 31000)
    while listens(port) or listens(port + 1000):
        port = random.randrange(12000, 31000)
    registry = start([pailou, "registry", f"--port={port}"], folder)
    eventually(lambda: listens(port), "the registry answers")

    def send(method: str, path: str, **query: str) -> str:
        url = f"http://127.0.0.1:{port}/nacos/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(urllib.request.Request(url, method=method)) as answer:
            return answer.read().decode()

    place = {"serviceName": "echo-service", "ip": "127.0.0.1", "port": str(service_port)}
    metadata = '{"protocol":"grpc"}'
    send("POST", "v1/ns/instance", **place, metadata=metadata, ephemeral="false")
    # As Spring's gRPC starter registers: the port of HTTP, and the other one in the metadata.
    spring = {"serviceName": "spring-service", "ip": "127.0.0.1", "port": str(page_port)}
    metadata = json.dumps(
        {"gRPC_port": str(service_port), "preserved.register.source": "SPRING_CLOUD"}
    )
    send("POST", "v1/ns/instance", **spring, metadata=metadata, ephemeral="false")
    routes = """
routes:
  /spring/**: { service: { name: spring-service, protocol: grpc }, strip_prefix: 1 }
  /pages/**: spring-service
  /test.Echo/**: echo-service
  /test.Nobody/**: no-service
  /web/**: { service: echo-service, strip_prefix: 1, filters: [ grpc_web ] }
"""
    config = {"dataId": "pailou-routes.yaml", "group": "DEFAULT_GROUP"}
    send("POST", "v1/cs/configs", **config, content=routes)

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
    process = start([pailou, "run", "--config", "gateway.yaml"], folder)

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{probes}/readyz") as answer:
                return answer.status == 200
        except OSError:
            return False

    eventually(is_ready, "the gateway is ready")
    yield f"127.0.0.1:{data}"
    for each in (process, registry):
        each.kill()
        each.wait()


@pytest.fixture
def channel(gateway: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway) as channel:
        yield channel
