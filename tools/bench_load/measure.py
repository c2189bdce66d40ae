"""The rounds: in each, every proxy has every load once, and another proxy goes first each time."""

import http.client
import os
import shutil
import ssl
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .certificate import Certificate, make
from .generators import generator
from .options import Case, Options, Setup
from .peers import Peer, Site
from .process import (
    Failed,
    Process,
    busy_seconds,
    free_port,
    go_beside,
    go_first,
)


@dataclass(frozen=True)
class Sample:
    """One load on one proxy."""

    cpu_us: float
    requests_per_second: float
    p50_us: float
    p99_us: float
    p999_us: float
    rss_bytes: int
    failed: int
    # The share of the proxy's cores that others had; None where the load is on these cores too.
    disturbed: float | None


@dataclass
class Running:
    """A proxy that is up."""

    peer: Peer
    process: Process
    url: str
    start_seconds: list[float]
    idle_rss_bytes: int
    samples: dict[Case, list[Sample]] = field(default_factory=dict)


@dataclass(frozen=True)
class Cores:
    """Which cores are whose."""

    proxy: list[int]
    load: list[int]

    @classmethod
    def share(cls, workers: int, cores: list[int]) -> "Cores":
        """The last ones are the proxy's. The rest, or all if none is left, serve the load."""
        proxy = cores[-workers:]
        return cls(proxy, [core for core in cores if core not in proxy] or cores)

    def are_apart(self) -> bool:
        return not set(self.proxy) & set(self.load)


class Bench:
    """All the processes of a run; they end with it."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        self._cores = sorted(os.sched_getaffinity(0))
        self._folder = options.out / "work"
        self._processes: list[Process] = []
        # The proxies that could not be started, or failed under load.
        self.lost: list[str] = []

    def __enter__(self) -> "Bench":
        if self.options.realtime:
            go_first()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        os.sched_setaffinity(0, self._cores)
        if self.options.realtime:
            go_beside()

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()

    def run(self, setup: Setup, peers: list[Peer]) -> list[Running]:
        """Measures these proxies as `setup` says; one that fails is left out."""
        cores = Cores.share(setup.workers, self._cores)
        # The generator inherits it, and what this tool does itself happens there too.
        os.sched_setaffinity(0, cores.load)
        folder = self._folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        origin = self._start(
            "origin", [self.options.binaries / "bench-origin"], folder, cores.load
        ).address()
        certificate = make(folder) if setup.protocol != "http" else None
        running = []
        for peer in peers:
            try:
                running.append(self._start_peer(peer, setup, origin, certificate, cores))
            except Failed as failure:
                self._lose(peer, failure)
        for number in range(self.options.rounds):
            for case in self.options.cases:
                for one in turned(running, number):
                    try:
                        sample = self._sample(one, setup, case, cores)
                    except Failed as failure:
                        self._lose(one.peer, failure)
                        running.remove(one)
                    else:
                        one.samples.setdefault(case, []).append(sample)
            self.say(f"round {number + 1} of {self.options.rounds} done")
        self._stop()
        return running

    def _lose(self, peer: Peer, failure: Failed) -> None:
        self.say(f"{peer.name}: left out, {failure}")
        self.lost.append(peer.name)

    def _start(self, name: str, command: list, folder: Path, cores: list[int]) -> Process:
        process = Process(name, command, folder, cores)
        self._processes.append(process)
        return process

    def _start_peer(
        self,
        peer: Peer,
        setup: Setup,
        origin: str,
        certificate: Certificate | None,
        cores: Cores,
    ) -> Running:
        """Starts it as often as the options say; the last one stays."""
        own = self._folder / peer.name
        own.mkdir()
        helper_number = 0

        def helper(command: list) -> Process:
            nonlocal helper_number
            helper_number += 1
            return self._start(f"helper-{helper_number}", command, own, cores.load)

        port = free_port()
        site = Site(own, origin, port, setup, certificate, self.options.binaries, helper)
        command = peer.prepare(site)
        scheme = "http" if certificate is None else "https"
        url = f"{scheme}://127.0.0.1:{port}/api/bench"
        starts = []
        for _ in range(self.options.starts):
            process = Process(peer.name, command, own, cores.proxy, peer.env(site))
            self._processes.append(process)
            starts.append(process.wait_until("answer", lambda: answers(scheme, port)))
            if len(starts) < self.options.starts:
                process.stop()
        idle = process.rss_bytes()
        self.say(f"{peer.name}: up after {statistics.median(starts) * 1000:.0f} ms")
        self._warm_up(peer, url, setup, own)
        return Running(peer, process, url, starts, idle)

    def _warm_up(self, peer: Peer, url: str, setup: Setup, own: Path) -> None:
        """The first requests bring in code and connections; they are no part of any round."""
        written = bytes_in(own)
        load = generator(setup.protocol).run(url, Case(connections=32), peer.warm_up_seconds, own)
        # A line of a log has at least the path.
        if setup.access_log and bytes_in(own) - written < load.requests * len("/api/bench"):
            raise Failed("it writes no access log")

    def _sample(self, one: Running, setup: Setup, case: Case, cores: Cores) -> Sample:
        rss = 0

        def watch() -> None:
            nonlocal rss
            rss = max(rss, one.process.rss_bytes())

        cpu, busy = one.process.cpu_seconds(), busy_seconds(cores.proxy)
        run = generator(setup.protocol).run
        load = run(one.url, case, self.options.seconds, self._folder, watch)
        cpu = one.process.cpu_seconds() - cpu
        others = max(0.0, busy_seconds(cores.proxy) - busy - cpu) / load.seconds
        if load.requests == 0:
            raise Failed(f"{one.peer.name} answered nothing: {one.process.said()}")
        return Sample(
            cpu_us=cpu * 1e6 / load.requests,
            requests_per_second=load.requests / load.seconds,
            p50_us=load.p50,
            p99_us=load.p99,
            p999_us=load.p999,
            rss_bytes=rss,
            failed=load.failed,
            disturbed=others / len(cores.proxy) if cores.are_apart() else None,
        )


def turned(running: list[Running], number: int) -> list[Running]:
    """All of them, another one first for each number."""
    first = number % len(running) if running else 0
    return running[first:] + running[:first]


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def answers(scheme: str, port: int) -> bool:
    """Whether the route that is measured is served."""
    if scheme == "https":
        # The certificate is the bench's own: what is asked is whether the proxy is up.
        anyone = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=anyone)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/api/bench/1")
        answer = connection.getresponse()
        return answer.status == 200 and answer.read() == b"x"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
