"""The command line, as set-ups (a configuration of the proxies) and cases (a load)."""

import argparse
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}
# The longest answer of benches/peers/origin.
MOST_BYTES = 16 * UNITS["MiB"]
# What a request's answer has when the request itself is what counts.
SMALL_BYTES = 100
# Requests that are under way at once on each HTTP/2 connection.
STREAMS = 10
PROTOCOLS = {
    "http": "HTTP/1.1",
    "https": "HTTP/1.1 over TLS",
    "h2": f"HTTP/2 over TLS, {STREAMS} streams a connection",
}


@dataclass(frozen=True)
class Setup:
    """What a proxy is started with."""

    routes: int = 1
    access_log: bool = False
    workers: int = 1
    # What clients speak: one of PROTOCOLS.
    protocol: str = "http"

    def __str__(self) -> str:
        parts = []
        if self.protocol != "http":
            parts.append(PROTOCOLS[self.protocol])
        if self.routes != 1:
            parts.append(f"{self.routes:,} routes")
        if self.access_log:
            parts.append("access log")
        if self.workers != 1:
            parts.append(f"{self.workers} workers")
        return ", ".join(parts)


@dataclass(frozen=True)
class Case:
    """A load: so many connections, each of which sends its next request when it has its answer."""

    connections: int
    answer_bytes: int = SMALL_BYTES
    upload_bytes: int = 0
    new_connections: bool = False

    def __str__(self) -> str:
        many = "connection" if self.connections == 1 else "connections"
        size = size_text(self.upload_bytes or self.answer_bytes)
        what = f"{size} up" if self.upload_bytes else size
        fresh = ", a new one for each request" if self.new_connections else ""
        return f"{self.connections:,} {many}, {what}{fresh}"


@dataclass(frozen=True)
class Options:
    """The command line."""

    peers: list[str]
    setups: list[Setup]
    cases: list[Case]
    rounds: int
    seconds: int
    starts: int
    realtime: bool
    binaries: Path
    out: Path


def size(text: str) -> int:
    """A size such as `100B`, `10KiB`, `1MiB`."""
    match = re.fullmatch(r"(\d+)(B|KiB|MiB|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 100B, 10KiB or 1MiB")
    count = int(match[1]) * UNITS[match[2]]
    if not 0 < count <= MOST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not within 1B and {size_text(MOST_BYTES)}")
    return count


def size_text(count: int) -> str:
    for unit in ("MiB", "KiB"):
        if count >= UNITS[unit] and count % UNITS[unit] == 0:
            return f"{count // UNITS[unit]} {unit}"
    return f"{count} B"


def number(text: str) -> int:
    if not text.strip().isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def switch(text: str) -> bool:
    if text.strip() not in ("on", "off"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither on nor off")
    return text.strip() == "on"


def protocol(text: str) -> str:
    if text.strip() not in PROTOCOLS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(PROTOCOLS)}")
    return text.strip()


def several(one: Callable) -> Callable[[str], list]:
    """A parser of a list with commas; an empty text is an empty list."""

    def parse(text: str) -> list:
        return [one(part) for part in text.split(",") if part.strip()]

    return parse


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench-load",
        description="Sends the same load through Pailou and through each other proxy that is "
        "installed, in turn, and prints what it costs.",
        epilog="Lists are separated by commas; every combination is measured. Linux only.",
    )
    add = parser.add_argument
    add("--peers", type=several(str.strip), default=[], metavar="NAMES", help="only these, by name")
    add("--connections", type=several(number), default=[32, 256], help="32,256 unless given")
    add("--bodies", type=several(size), default=[SMALL_BYTES], help="of answers: 100B,10KiB,1MiB")
    add("--uploads", type=several(size), default=[], help="bodies of requests, beside --bodies")
    add("--new-connections", action="store_true", help="one connection for each request")
    add("--protocols", type=several(protocol), default=["http"], help="http,https,h2")
    add("--routes", type=several(number), default=[1], help="in the table: 1,1000,10000")
    add("--access-log", type=several(switch), default=[False], metavar="on|off", help="off,on")
    add("--workers", type=several(number), default=[1], help="threads or processes of each proxy")
    add("--rounds", type=number, default=5, help="of which the median is taken (5)")
    add("--seconds", type=number, default=3, help="of load in each round (3)")
    add("--starts", type=number, default=3, help="of each proxy, for the start-up time (3)")
    add("--realtime", action="store_true", help="before all else on a busy machine (root only)")
    add(
        "--binaries",
        type=Path,
        default=ROOT / "target" / "release",
        metavar="DIR",
        help="where cargo put pailou and the programs of benches/peers",
    )
    add(
        "--out",
        type=Path,
        default=ROOT / "target" / "bench-load",
        metavar="DIR",
        help="for table.md, plot.svg and results.json (target/bench-load)",
    )
    return parser


def parse(arguments: list[str] | None = None) -> Options:
    given = parser()
    read = given.parse_args(arguments)
    payloads = [(body, 0) for body in read.bodies]
    payloads += [(SMALL_BYTES, upload) for upload in read.uploads]
    setups = itertools.product(read.routes, read.access_log, read.workers, read.protocols)
    options = Options(
        peers=read.peers,
        setups=[Setup(*parts) for parts in setups],
        cases=[
            Case(connections, answer, upload, read.new_connections)
            for connections in read.connections
            for answer, upload in payloads
        ],
        rounds=read.rounds,
        seconds=read.seconds,
        starts=read.starts,
        realtime=read.realtime,
        binaries=read.binaries.resolve(),
        out=read.out.resolve(),
    )
    if not options.cases or not options.setups:
        given.error("nothing to measure: --connections, --bodies --routes or --protocols is empty")
    if read.new_connections and "h2" in read.protocols:
        given.error(
            "--new-connections goes with http and https: an HTTP/2 client keeps its connection"
        )
    return options
