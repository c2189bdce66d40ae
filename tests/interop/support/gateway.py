"""The gateway under test, as a process."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from . import eventually, free_port, http
from .nacos import NacosServer

SETTINGS = """\
listeners: [{{ address: "127.0.0.1:{data}" }}]
admin: {{ address: "127.0.0.1:{admin}" }}
probes: {{ address: "127.0.0.1:{probes}" }}
nacos: {{ servers: ["{nacos}"] }}
routes: [{{ data_id: {data_id} }}]
registration: {{ service: {service}, ip: 127.0.0.1 }}
shutdown: {{ drain_delay: 1s, deadline: 10s }}
"""


class Gateway:
    """`pailou run`, with every listener on a free port."""

    def __init__(self, binary: Path, nacos: NacosServer, data_id: str, folder: Path) -> None:
        folder.mkdir()
        self.data_id = data_id
        self.service = f"gateway-of-{data_id.removesuffix('.yaml')}"
        self.port, self._admin, self._probes = free_port(), free_port(), free_port()
        self._log = folder / "gateway.log"
        settings = folder / "gateway.yaml"
        settings.write_text(
            SETTINGS.format(
                data=self.port,
                admin=self._admin,
                probes=self._probes,
                nacos=nacos.address,
                data_id=data_id,
                service=self.service,
            )
        )
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NACOS_", "PAILOU_")) and name != "LOG_LEVEL"
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "run", "--config", settings],
                cwd=folder,
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path: str) -> http.Answer:
        return http.get(self.url(path))

    def admin(self, path: str) -> Any:
        return http.get(f"http://127.0.0.1:{self._admin}{path}").json()

    def probe(self, path: str) -> int:
        """The status that a probe gets, 0 while nobody listens."""
        ended = self.process.poll() is not None
        assert not ended, f"the gateway ended:\n{self.log()}"
        return http.status(f"http://127.0.0.1:{self._probes}{path}")

    def wait_started(self) -> "Gateway":
        """Waits for the process; it may have no routes yet."""
        eventually("the gateway to start", lambda: self.probe("/healthz") == 200)
        return self

    def wait_ready(self) -> "Gateway":
        eventually("the gateway to be ready", lambda: self.probe("/readyz") == 200)
        return self

    def is_connected(self) -> bool:
        """Whether every session with Nacos stands."""
        sessions = self.admin("/api/v1/status")["nacos"]
        return all(session["connection"]["connected"] for session in sessions)

    def wait_answer(self, path: str, status: int = 200) -> None:
        eventually(f"{status} for {path}", lambda: http.status(self.url(path)) == status)

    def answering(self, path: str, requests: int) -> set[str]:
        """The instances that answer so many requests, one after the other."""
        return {self.get(path).json()["instance"] for _ in range(requests)}

    def terminate(self) -> int:
        """Asks it to stop and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def log(self) -> str:
        """The end of the log, without the requests that went well."""
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join([line for line in lines if '"status":200' not in line][-200:])
