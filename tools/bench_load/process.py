"""A server in a process of its own, pinned to cores, and what it and its children have used."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_SECONDS = 90.0
STOP_SECONDS = 10.0
# Often enough for a start of some milliseconds to be seen as such.
POLL_SECONDS = 0.002


class Failed(Exception):
    """What a person is told before the tool gives up, or goes on without a proxy."""


class Process:
    """A running server. Whoever started it stops it."""

    def __init__(
        self,
        name: str,
        command: list[str | Path],
        folder: Path,
        cores: list[int],
        env: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.output = folder / f"{name}.out"
        pinned = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
        self.began = time.monotonic()
        try:
            with self.output.open("wb") as output:
                # A session of its own, so that Ctrl-C reaches this tool alone and it decides the
                # order, and so that all of its processes can be ended at once.
                self._child = subprocess.Popen(
                    pinned,
                    cwd=folder,
                    env={**environment(), **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise Failed(f"{name} cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        """Of the first of its processes."""
        return self._child.pid

    def wait_until(self, what: str, done: Callable[[], bool]) -> float:
        """Waits, and says how many seconds after the start it was."""
        while not done():
            if self._child.poll() is not None:
                raise Failed(f"{self.name} ended with code {self._child.returncode}: {self.said()}")
            if time.monotonic() - self.began > START_SECONDS:
                raise Failed(f"{self.name}: no {what} within {START_SECONDS:g} s: {self.said()}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - self.began

    def address(self) -> str:
        """The address that a server says it listens on, as `listening 127.0.0.1:PORT`."""
        found: list[str] = []

        def printed() -> bool:
            lines = self.output.read_text(errors="replace").splitlines(keepends=True)
            found[:] = [line.split()[1] for line in lines if line.startswith("listening ")]
            return bool(found) and lines[-1].endswith("\n")

        self.wait_until("address", printed)
        return found[0]

    def said(self) -> str:
        """The end of what it has printed, for a message."""
        text = self.output.read_text(errors="replace").strip()
        return text[-1000:] or "it said nothing"

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far, those that have ended included."""
        # After the command's name, which may have blanks: utime, stime, cutime, cstime.
        times = (fields[11:15] for fields in self._stats())
        return sum(int(ticks) for four in times for ticks in four) / TICKS

    def rss_bytes(self) -> int:
        """Resident memory of all its processes; what they share counts for each."""
        return sum(int(fields[21]) for fields in self._stats()) * PAGE_BYTES

    def _stats(self) -> list[list[str]]:
        """The fields of /proc/PID/stat from the state on, for the process and all below it."""
        everyone = processes()
        found, wanted = [], [self.pid]
        while wanted:
            pid = wanted.pop()
            if pid in everyone:
                found.append(everyone[pid])
            wanted += [child for child, fields in everyone.items() if int(fields[1]) == pid]
        return found

    def stop(self) -> None:
        if self._child.poll() is None:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(STOP_SECONDS)
        # Its workers too: some do not end with their parent.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._child.wait()


def environment() -> dict[str, str]:
    """The tool's variables but for those that would change what a gateway does."""
    own = ("PAILOU_", "NACOS_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def processes() -> dict[int, list[str]]:
    """The fields of /proc/PID/stat from the state on, for every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                # It has ended since.
                continue
            found[int(entry.name)] = text.rpartition(") ")[2].split()
    return found


def go_first() -> None:
    """Puts this tool, and what it starts from now on, before every other process of the machine."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError as error:
        raise Failed("--realtime: only root may go before others") from error


def go_beside() -> None:
    """What a process usually does: takes its turn."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def busy_seconds(cores: list[int]) -> float:
    """How long these cores were busy so far, or were taken away by the machine beneath."""
    names = {f"cpu{core}" for core in cores}
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    # user, nice, system, idle, iowait, irq, softirq, steal
    times = [line[1:4] + line[6:9] for line in lines if line[0] in names]
    return sum(int(ticks) for ticks in sum(times, [])) / TICKS


def free_port() -> int:
    """A port that was free a moment ago; servers that can take port 0 should."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
