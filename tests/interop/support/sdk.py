"""The Python SDKs, each as a process of its own: they share the package name, and one forks."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import PATIENCE_SECONDS, cache, eventually
from .server import Server

FOLDER = cache.SUITE / "sdk"


class SdkError(Exception):
    """What the SDK raised."""


class Sdk:
    """One client of one SDK. What it calls back is kept, with the time at which it came."""

    def __init__(self, server: Server, major: int, folder: Path, namespace: str = "") -> None:
        self.name = f"SDK {major}"
        self._answers: dict[int, dict] = {}
        self._events: list[dict] = []
        self._changed = threading.Condition()
        self._number = 0
        user, password = server.credentials or (None, None)
        options = {
            "server": server.address,
            "namespace": namespace,
            "user": user,
            "password": password,
        }
        # 0.1.14 is in the environment that runs the suite, since the samples use it.
        python = sys.executable if major == 0 else cache.python_with(FOLDER / "requirements-3.txt")
        self._log = folder / f"sdk-{major}-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, FOLDER / f"sdk_{major}.py", json.dumps(options)],
                # The SDKs write where they are.
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        threading.Thread(target=self._read, daemon=True).start()

    def call(self, do: str, **arguments: Any) -> Any:
        """Runs one operation of the SDK's process: its result, or `SdkError`."""
        self._number += 1
        number = self._number
        request = {"id": number, "do": do, "with": arguments}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        with self._changed:
            self._changed.wait_for(
                lambda: number in self._answers or self._process.poll() is not None,
                timeout=PATIENCE_SECONDS,
            )
            answer = self._answers.pop(number, None)
        assert answer, f"{self.name} does not answer {do}:\n{self._log.read_text()[-4000:]}"
        if "error" in answer:
            raise SdkError(answer["error"])
        return answer["result"]

    def events(self, name: str) -> list[dict]:
        """What was called back for a service or a config so far."""
        with self._changed:
            return [event for event in self._events if event["name"] == name]

    def wait_event(self, name: str, fits: Callable[[Any], bool]) -> float:
        """Waits until the newest value called back fits, and says when it came."""

        def newest() -> dict | None:
            events = self.events(name)
            return events[-1] if events and fits(events[-1]["value"]) else None

        return eventually(f"{self.name} to hear of {name}", newest, every=0.005)["at"]

    def register(self, service: str, port: int, **more: Any) -> None:
        assert self.call("register", service=service, port=port, **more)

    def deregister(self, service: str, port: int, **more: Any) -> None:
        assert self.call("deregister", service=service, port=port, **more)

    def ports(self, service: str, **more: Any) -> set[int]:
        return {instance["port"] for instance in self.call("list", service=service, **more)}

    def get(self, data_id: str) -> str | None:
        # What is missing is None for one SDK and empty for the other.
        return self.call("get", data_id=data_id) or None

    def publish(self, data_id: str, content: str) -> None:
        assert self.call("publish", data_id=data_id, content=content)

    def remove(self, data_id: str) -> None:
        assert self.call("remove", data_id=data_id)

    def watch(self, data_id: str) -> None:
        self.call("watch", data_id=data_id)

    def wait_content(self, data_id: str, content: str | None) -> float:
        return self.wait_event(data_id, lambda value: (value or None) == content)

    def close(self) -> None:
        """Ends it without a word. Harmless when called again."""
        if self._process.returncode is not None:
            return
        # With the processes that SDK 0.1.14 forks for its watches.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> None:
        for line in self._process.stdout:
            received = json.loads(line)
            with self._changed:
                if "event" in received:
                    self._events.append(received)
                else:
                    self._answers[received["id"]] = received
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()
