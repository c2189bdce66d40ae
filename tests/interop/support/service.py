"""Services for the gateway to find."""

import http.client as http_client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from . import ROOT, eventually, free_port, http
from .server import GROUP, Server

BEAT_SECONDS = 2.0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: apart, the second one would wait for a delayed acknowledgement.
    wbufsize = 65536
    name: str

    def do_GET(self) -> None:
        body = json.dumps({"instance": self.name, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, host: str) -> None:
        self._open: set = set()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), type("BoundHandler", (_Handler,), {"name": name}))

    def process_request(self, request, client_address) -> None:  # noqa: ANN001
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:  # noqa: ANN001
        self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for request in list(self._open):
            super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:  # noqa: ANN001
        """A broken connection is what some cases are about, and nothing to print."""


class Upstream:
    """An HTTP server that names itself in every answer, registered over HTTP with heartbeats.

    A server that was restarted forgets such an instance; the next beat brings it back, as it says
    everything of the instance.
    """

    def __init__(self, nacos: Server, service: str, name: str, **details: object) -> None:
        """`details` are the instance's: weight, metadata, cluster, group, namespace, and the
        host that it listens on, which is registered for it by who gives another one."""
        self.service, self.name = service, name
        self._weight = details.pop("weight", 1.0)
        self._metadata = details.pop("metadata", {})
        self._cluster = details.pop("cluster", "DEFAULT")
        self._place = {
            "groupName": details.pop("group", GROUP),
            "namespaceId": details.pop("namespace", ""),
        }
        host = details.pop("host", "127.0.0.1")
        assert not details, f"unknown: {details}"
        self._nacos = nacos
        self._server = _Server(name, host)
        self.port: int = self._server.server_address[1]
        # Held during a beat: one that came after the deregistration would undo it.
        self._beating = threading.Lock()
        self._registered = False
        self._closed = threading.Event()
        serving = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True, name=f"upstream {name}"
        )
        serving.start()
        threading.Thread(target=self._beat, daemon=True, name=f"beat of {name}").start()

    def register(self) -> "Upstream":
        self._nacos.register(
            self.service,
            self.port,
            weight=self._weight,
            clusterName=self._cluster,
            metadata=json.dumps(self._metadata),
            **self._place,
        )
        self._registered = True
        return self

    def deregister(self) -> None:
        self.pause()
        self._nacos.deregister(self.service, self.port, clusterName=self._cluster, **self._place)

    def pause(self) -> None:
        """Sends no beats any more."""
        with self._beating:
            self._registered = False

    def resume(self) -> None:
        """Sends beats again, of which the first registers it where it was forgotten."""
        self._registered = True

    def die(self) -> None:
        """Breaks every connection and closes the port, and tells nobody."""
        self._registered = False
        self._server.shutdown()
        self._server.server_close()
        self._server.break_connections()

    def close(self) -> None:
        self._closed.set()
        self.die()

    def _beat(self) -> None:
        beat = {"weight": self._weight, "cluster": self._cluster, "metadata": self._metadata}
        while not self._closed.wait(BEAT_SECONDS):
            with self._beating:
                # While the server is away the next beat tries again.
                if self._registered:
                    with suppress(OSError, AssertionError, http_client.HTTPException):
                        self._nacos.beat(self.service, self.port, beat, **self._place)


class Sample:
    """One of the projects under `examples/`, as a process."""

    def __init__(
        self, name: str, command: list[str | Path], cwd: Path, log: Path, env: dict
    ) -> None:
        self.name = name
        self.port = free_port()
        self._log = log
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NACOS_", "PAILOU_"))}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={
                    **clean,
                    "HOST": "127.0.0.1",
                    "PORT": str(self.port),
                    "NACOS_SERVICE_IP": "127.0.0.1",
                    "NACOS_SERVICE_PORT": str(self.port),
                    **env,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def wait_answering(self, path: str) -> None:
        def answers() -> bool:
            ended = self.process.poll() is not None
            assert not ended, f"{self.name} ended:\n{self._log.read_text()[-4000:]}"
            return http.status(self.url(path)) == 200

        eventually(f"{self.name} to answer {path}", answers)

    def terminate(self) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def fastapi_sample(nacos: Server, service: str, log: Path, **env: str) -> Sample:
    """The FastAPI sample, which registers with the official SDK 0.1.14 over HTTP."""
    folder = ROOT / "examples" / "fastapi-user-service"
    settings = {"NACOS_SERVER_ADDR": nacos.address, "NACOS_SERVICE_NAME": service, **env}
    return Sample(
        "the FastAPI sample", [sys.executable, "-m", "user_service"], folder, log, settings
    )


def rust_sample(binary: Path, nacos: Server, service: str, log: Path, **env: str) -> Sample:
    """The Rust sample, which registers with the project's own client over gRPC."""
    settings = {"NACOS_SERVER_ADDR": nacos.address, "NACOS_SERVICE_NAME": service, **env}
    if nacos.credentials:
        settings["NACOS_USERNAME"], settings["NACOS_PASSWORD"] = nacos.credentials
    return Sample("the Rust sample", [binary], ROOT, log, settings)
