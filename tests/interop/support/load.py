"""Steady requests through the gateway, of which none may fail."""

import http.client
import threading
import time
from collections import Counter
from types import TracebackType

from . import eventually

CLIENTS = 4
PAUSE_SECONDS = 0.01


class Load:
    """Clients that each send one GET after the other on a kept connection, until the block ends."""

    def __init__(self, port: int, *paths: str) -> None:
        self._port = port
        self._paths = paths
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._sent: Counter[str] = Counter()
        self._failures: list[str] = []
        self._began = time.monotonic()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    @property
    def sent(self) -> int:
        with self._lock:
            return self._sent.total()

    def more(self, requests: int) -> None:
        """Waits until so many requests more have been answered."""
        goal = self.sent + requests
        eventually(f"{requests} requests more", lambda: self.sent >= goal)

    def assert_clean(self) -> None:
        with self._lock:
            sent, failures = dict(self._sent), list(self._failures)
        assert not failures, f"{len(failures)} of {sent} failed:\n" + "\n".join(failures[:20])

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        self.more(50)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if error is None:
            self.assert_clean()
        print(f"load: {dict(self._sent)} answered, {len(self._failures)} failed")

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        turn = 0
        while not self._stop.wait(PAUSE_SECONDS):
            path = self._paths[turn % len(self._paths)]
            turn += 1
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                body = answer.read()
                failure = None if answer.status == 200 else f"{answer.status} {body[:300]!r}"
            except (OSError, http.client.HTTPException) as error:
                failure = repr(error)
                connection.close()
            with self._lock:
                self._sent[path] += 1
                if failure:
                    at = time.monotonic() - self._began
                    self._failures.append(f"{at:7.2f} s {path}: {failure}")
        connection.close()
