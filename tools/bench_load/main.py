"""All of it in order: what is there, the rounds, the table."""

import datetime
import json
import platform
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from .generators import demand
from .measure import Bench, Running
from .options import ROOT, Options, Setup, parse
from .peers import ALL, Peer
from .plot import plot
from .process import Failed
from .summary import Row, rows
from .table import noise, table


def say(line: str) -> None:
    print(f"bench-load: {line}", file=sys.stderr, flush=True)


def chosen(options: Options) -> list[Peer]:
    """The proxies that are wanted and there. What is not there is said, with how to get it."""
    names = [peer.name for peer in ALL]
    unknown = [name for name in options.peers if name not in names]
    if unknown:
        raise Failed(f"--peers: no {', '.join(unknown)}; there are {', '.join(names)}")
    found = []
    for peer in ALL:
        if options.peers and peer.name not in options.peers:
            continue
        if peer.found(options.binaries):
            found.append(peer)
        else:
            say(f"{peer.name}: left out, not installed ({peer.cure})")
    if not found:
        raise Failed("none of the proxies is there")
    return found


def willing(setup: Setup, peers: list[Peer]) -> list[Peer]:
    """Those that can be set up so."""
    found = []
    for peer in peers:
        reason = peer.refuses(setup)
        if reason is None:
            found.append(peer)
        else:
            say(f"{peer.name}: left out of {setup}, {reason}")
    return found


def measure(options: Options, peers: list[Peer]) -> tuple[list[Row], list[dict], list[str]]:
    """All rows, the figures of every round, and the names of proxies that failed."""
    found: list[Row] = []
    raw: list[dict] = []
    with Bench(options, say) as bench:
        for setup in options.setups:
            say(f"set-up: {str(setup) or 'one route'}")
            running = bench.run(setup, willing(setup, peers))
            for case in options.cases:
                found += rows(setup, case, running)
            raw += rounds(setup, running)
        return found, raw, bench.lost


def rounds(setup: Setup, running: list[Running]) -> list[dict]:
    return [
        {
            "setup": asdict(setup),
            "case": asdict(case),
            "proxy": one.peer.name,
            "start_seconds": one.start_seconds,
            "idle_rss_bytes": one.idle_rss_bytes,
            "rounds": [asdict(sample) for sample in samples],
        }
        for one in running
        for case, samples in one.samples.items()
    ]


def machine(options: Options, peers: list[Peer]) -> str:
    """One line that says on what, from what and when this was measured."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    versions = [f"{peer.name} {version}" for peer in peers if (version := peer.version())]
    return (
        f"{datetime.date.today()}, commit {commit or 'unknown'}, "
        f"{len(models)} × {models[0] if models else '?'}, Linux {platform.release()}; "
        f"{', '.join(versions) or 'no other proxy'}; "
        f"{options.rounds} rounds of {options.seconds} s"
    )


def report(options: Options, found: list[Row], raw: list[dict], peers: list[Peer]) -> None:
    about = machine(options, peers)
    text = table(found)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(f"{text}\n{about}\n\n{noise(found)}\n")
    (options.out / "plot.svg").write_text(plot(found))
    (options.out / "results.json").write_text(
        json.dumps({"about": about, "results": raw}, indent=1) + "\n"
    )
    print(text, about, noise(found), sep="\n")
    say(f"also in {options.out}: table.md, plot.svg, results.json")


def interrupted(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    signal.signal(signal.SIGTERM, interrupted)
    try:
        demand(setup.protocol for setup in options.setups)
        peers = chosen(options)
        found, raw, lost = measure(options, peers)
        if not found:
            raise Failed("nothing was measured")
        report(options, found, raw, peers)
    except KeyboardInterrupt:
        return 130
    except Failed as failure:
        say(str(failure))
        return 1
    failed = {row.proxy for row in found if row.failed}
    if failed:
        say(f"requests failed: {', '.join(sorted(failed))}")
    return 1 if failed or lost else 0
