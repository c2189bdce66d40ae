"""Fixtures: `pailou registry`, a gateway in front of it, and a gRPC service of grpcio."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from stack import running

ROUTES = """
routes:
  /spring/**: { service: { name: spring-service, protocol: grpc }, strip_prefix: 1 }
  /pages/**: spring-service
  /test.Echo/**: echo-service
  /test.Nobody/**: no-service
  /web/**: { service: echo-service, strip_prefix: 1, filters: [ grpc_web ] }
"""


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
    service_port: int, page_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a gateway whose registry lists the service as one of gRPC."""
    # As Spring's gRPC starter registers: the port of HTTP, and the other one in the metadata.
    metadata = {"gRPC_port": str(service_port), "preserved.register.source": "SPRING_CLOUD"}
    instances = [
        {
            "serviceName": "echo-service",
            "port": str(service_port),
            "metadata": json.dumps({"protocol": "grpc"}),
        },
        {
            "serviceName": "spring-service",
            "port": str(page_port),
            "metadata": json.dumps(metadata),
        },
    ]
    with running(tmp_path_factory.mktemp("gateway"), ROUTES, instances) as gateway:
        yield f"127.0.0.1:{gateway.data}"


@pytest.fixture
def channel(gateway: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(gateway) as channel:
        yield channel
