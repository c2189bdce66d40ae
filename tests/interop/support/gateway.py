"""The gateway under test, as a process."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from . import eventually, free_port, http
from .server import Server


class Gateway:
    """`pailou run`, with every listener on a free port."""

    def __init__(
        self, binary: Path, nacos: Server, data_id: str, folder: Path, /, **settings: dict
    ) -> None:
        """`settings` are sections of `gateway.yaml`, put over those that a case needs not name."""
        folder.mkdir()
        self.data_id = data_id
        self.service = f"gateway-of-{data_id.removesuffix('.yaml')}"
        self.port, self._admin, self._probes = free_port(), free_port(), free_port()
        self._log = folder / "gateway.log"
        effective: dict[str, Any] = {
            "listeners": [{"address": f"127.0.0.1:{self.port}"}],
            "admin": {"address": f"127.0.0.1:{self._admin}"},
            "probes": {"address": f"127.0.0.1:{self._probes}"},
            "nacos": {"servers": [nacos.address]},
            "routes": [{"data_id": data_id}],
            "registration": {"service": self.service, "ip": "127.0.0.1"},
            "shutdown": {"drain_delay": "1s", "deadline": "10s"},
        }
        if nacos.credentials:
            user, password = nacos.credentials
            effective["nacos"] |= {"username": user, "password": password}
        for section, values in settings.items():
            effective[section] = {**effective.get(section, {}), **values}
        path = folder / "gateway.yaml"
        # JSON is YAML.
        path.write_text(json.dumps(effective, indent=2))
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NACOS_", "PAILOU_")) and name != "LOG_LEVEL"
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [binary, "run", "--config", path],
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

    def sessions(self) -> list[dict]:
        """Its sessions with Nacos, one for each namespace."""
        return self.admin("/api/v1/status")["nacos"]

    def is_connected(self) -> bool:
        """Whether every session with Nacos stands."""
        return all(session["connection"]["connected"] for session in self.sessions())

    def endpoints(self, service: str) -> dict[int, dict]:
        """What it knows of a service's instances, by port; none when it does not follow it."""
        url = f"http://127.0.0.1:{self._admin}/api/v1/services/{service}"
        answer = http.get(url)
        if answer.status == 404:
            return {}
        return {int(e["address"].rpartition(":")[2]): e for e in answer.json()["endpoints"]}

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
