"""What a load generator is asked for and what it says; each generator is a file beside this one."""

import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass

from .process import Failed

SAMPLE_SECONDS = 0.1
# How long a generator may take to end beyond the load itself.
GRACE_SECONDS = 30
# What an HTTP client library sends.
HEADERS = {
    "User-Agent": "bench/1.0",
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Accept-Language": "en",
    "Authorization": "Bearer 0123456789abcdef",
}


@dataclass(frozen=True)
class Load:
    """What the generator saw. Times of answers are in microseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float
    # Answers that are no 2xx or 3xx, and connections that broke.
    failed: int


def generate(command: list[str], seconds: int, sample: Callable[[], None]) -> str:
    """Runs a generator for `seconds` and gives what it printed; calls `sample` all the while."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            sample()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds + GRACE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{command[0]} does not end: {' '.join(command)}") from error
    finally:
        ended.set()
        watcher.join()
    return done.stdout
