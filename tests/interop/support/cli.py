"""`pailou nacos …`, which is the project's own client, with the operations of an SDK."""

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from . import eventually
from .server import GROUP, Server


class Cli:
    """What the command line does, one process for each operation."""

    name = "pailou nacos"

    def __init__(self, binary: Path, server: Server, folder: Path, namespace: str = "") -> None:
        self._command = [binary, "nacos", "--json", f"--namespace={namespace}"]
        self._folder = folder
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NACOS_", "PAILOU_"))}
        self._env = {**clean, "NACOS_SERVER_ADDR": server.address}
        if server.credentials:
            self._env["NACOS_USERNAME"], self._env["NACOS_PASSWORD"] = server.credentials
        self._registered: dict[tuple[str, int], subprocess.Popen] = {}
        self._running: list[subprocess.Popen] = []
        self._lines: dict[str, list[tuple[float, dict]]] = {}

    def register(self, service: str, port: int, **more: Any) -> None:
        options = [f"--{name}={more[name]}" for name in ("weight", "cluster") if name in more]
        labels = [f"--metadata={key}={value}" for key, value in more.get("metadata", {}).items()]
        place = [f"--ip={more.get('ip', '127.0.0.1')}", f"--port={port}"]
        process = self._follow(
            f"{service}:{port}", "service", "register", service, *place, *options, *labels
        )
        self._registered[service, port] = process
        eventually(f"{service} registered", lambda: self._lines[f"{service}:{port}"])

    def deregister(self, service: str, port: int) -> None:
        process = self._registered.pop((service, port))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0, self._errors()

    def ports(self, service: str) -> set[int]:
        shown = self._run("service", "show", service, codes=(0, 1))
        return {instance["port"] for instance in json.loads(shown)["instances"]} if shown else set()

    def get(self, data_id: str) -> str | None:
        shown = self._run("config", "get", data_id, codes=(0, 1))
        return json.loads(shown)["content"] if shown else None

    def publish(self, data_id: str, content: str) -> None:
        file = self._folder / "content"
        file.write_text(content)
        self._run("config", "publish", data_id, str(file))

    def remove(self, data_id: str) -> None:
        self._run("config", "remove", data_id)

    def watch(self, data_id: str) -> None:
        self._follow(data_id, "config", "watch", data_id)
        eventually("the watch to begin", lambda: self._lines[data_id])

    def wait_content(self, data_id: str, content: str | None) -> float:
        """Waits until the watch says so, and says when it came."""

        def newest() -> tuple | None:
            at, line = self._lines[data_id][-1]
            return (at,) if line.get("content") == content else None

        return eventually(f"{self.name} to hear {content!r}", newest, every=0.005)[0]

    def close(self) -> None:
        for process in self._running:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _run(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._env,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode in codes, f"{arguments}: {done.returncode}\n{done.stderr}"
        return done.stdout

    def _follow(self, name: str, *arguments: str) -> subprocess.Popen:
        """A process that runs on; its lines are kept with the time at which they came."""
        with (self._folder / "cli.log").open("ab") as log:
            process = subprocess.Popen(
                [*self._command, *arguments],
                env=self._env,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._running.append(process)
        lines = self._lines[name] = []

        def read() -> None:
            for line in process.stdout:
                lines.append((time.monotonic(), json.loads(line)))

        threading.Thread(target=read, daemon=True).start()
        return process

    def _errors(self) -> str:
        return (self._folder / "cli.log").read_text()[-4000:]


class Curl:
    """The HTTP API as an operator uses it, with the same operations; it hears of nothing."""

    name = "curl"

    def __init__(self, server: Server) -> None:
        self._server = server

    def ports(self, service: str) -> set[int]:
        return self._server.ports(service)

    def get(self, data_id: str) -> str | None:
        return self._server.config(data_id)

    def publish(self, data_id: str, content: str) -> None:
        self._server.publish(data_id, content)

    def remove(self, data_id: str) -> None:
        self._server.remove(data_id, GROUP)
