"""Fixtures: a registry, a service, and a gateway that has had traffic of every kind."""

import http.server
import threading
from collections.abc import Iterator

import pytest
from stack import eventually, running, send

# A route's id may be anything: it must come through as a label.
ODD_ROUTE = 'odd "id" \\ of a route'

ROUTES = f"""
routes:
  /api/**: user-service
  /empty/**: nobody-service
  '{ODD_ROUTE}': {{ path: /odd/**, service: user-service }}
"""


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


@pytest.fixture(scope="session")
def metrics_url(service_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the gateway's metrics are, once they have something to tell."""
    folder = tmp_path_factory.mktemp("gateway")
    service = {"serviceName": "user-service", "port": str(service_port)}
    with running(folder, ROUTES, [service]) as gateway:
        for method, path, status in [
            ("GET", "api/a", 200),
            ("POST", "api/404", 404),
            ("BREW", "api/418", 418),
            ("GET", "api/events", 200),
            ("GET", "odd/a", 200),
            ("GET", "empty/a", 503),
            ("GET", "nowhere", 404),
        ]:
            assert send(f"http://127.0.0.1:{gateway.data}/{path}", method)[0] == status, path
        url = f"http://127.0.0.1:{gateway.probes}/metrics"

        def counted() -> float:
            lines = send(url)[2].splitlines()
            found = [line for line in lines if line.startswith("pailou_requests_total{")]
            return sum(float(line.rsplit(" ", 1)[1]) for line in found)

        eventually(lambda: counted() == 7, "all requests are counted")
        yield url
