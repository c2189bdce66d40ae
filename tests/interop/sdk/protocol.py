"""The lines between a case and an SDK's process: JSON both ways, one object a line.

A case sends `{"id", "do", "with"}` and gets `{"id", "result"}` or `{"id", "error"}`. What an SDK
calls back comes as `{"event", "name", "value", "at"}`, `at` on the clock that all processes share.
"""

import json
import sys
import threading
import time
from typing import Any

_writing = threading.Lock()


def send(line: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def event(kind: str, name: str, value: Any) -> None:
    send({"event": kind, "name": name, "value": value, "at": time.monotonic()})


def requests() -> Any:
    """The requests, one after the other, until the case ends."""
    for line in sys.stdin:
        yield json.loads(line)
