"""What the cases stand on: a real Nacos server, the real gateway, services, and a load."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[3]
# Generous, since the machines that run this are slow and shared; what passes does not wait for it.
PATIENCE_SECONDS = 60.0

T = TypeVar("T")


def eventually(
    what: str, probe: Callable[[], T], within: float = PATIENCE_SECONDS, every: float = 0.05
) -> T:
    """Polls until `probe` gives something true, and returns that."""
    deadline = time.monotonic() + within
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {within:g} s in vain for: {what}")
        time.sleep(every)


_GIVEN: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on. None is given twice: the system may name one again."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on the port on every address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True
