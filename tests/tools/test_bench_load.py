"""`tools/bench-load`: its options, its sums, its table and plot, and a small run of all of it."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from bench_load import h2load, main, wrk
from bench_load.load import Load
from bench_load.measure import Bench, Cores, Running, Sample, turned
from bench_load.options import Case, Setup, parse, size, size_text
from bench_load.peers import ALL, Peer, Site
from bench_load.plot import plot
from bench_load.process import Failed, Process, go_beside, go_first, processes
from bench_load.summary import Row, Spread, rows
from bench_load.table import noise, table

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load bench needs Linux")

ROOT = Path(__file__).resolve().parents[2]
CASE = Case(connections=32)


@pytest.mark.parametrize(
    ("text", "count"),
    [("100B", 100), ("100", 100), ("10KiB", 10_240), ("1MiB", 1_048_576), ("16MiB", 16_777_216)],
)
def test_a_size_has_a_unit(text: str, count: int) -> None:
    assert size(text) == count
    assert size(size_text(count).replace(" ", "")) == count


@pytest.mark.parametrize("text", ["", "0B", "17MiB", "1kb", "1.5MiB", "-1B", "10 KiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        size(text)


def test_every_combination_is_measured() -> None:
    options = parse(
        ["--connections=1,256", "--bodies=100B,1MiB", "--uploads=10KiB"]
        + ["--routes=1,1000", "--access-log=off,on", "--workers=2"]
    )
    assert options.setups == [
        Setup(routes, log, 2) for routes in (1, 1000) for log in (False, True)
    ]
    assert options.cases == [
        Case(connections, answer, upload)
        for connections in (1, 256)
        for answer, upload in ((100, 0), (1_048_576, 0), (100, 10_240))
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--connections=0"], "'0' is no number above 0"),
        (["--bodies=1kb"], "'1kb' is no size; write 100B, 10KiB or 1MiB"),
        (["--access-log=yes"], "'yes' is neither on nor off"),
        (["--bodies="], "nothing to measure"),
        (["--protocols=h3"], "'h3' is none of http, https, h2"),
        (
            ["--protocols=http,h2", "--new-connections"],
            "--new-connections goes with http and https",
        ),
    ],
    ids=str,
)
def test_a_wrong_option_is_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert said in capsys.readouterr().err


def test_a_load_says_in_words_what_it_is() -> None:
    assert str(CASE) == "32 connections, 100 B"
    assert str(Case(1, upload_bytes=1024, new_connections=True)) == (
        "1 connection, 1 KiB up, a new one for each request"
    )
    assert str(Setup(10_000, True, 2)) == "10,000 routes, access log, 2 workers"
    assert str(Setup(protocol="https")) == "HTTP/1.1 over TLS"


@pytest.mark.parametrize(
    ("workers", "cores", "proxy", "load"),
    [
        (1, [0, 1], [1], [0]),
        (2, [0, 1], [0, 1], [0, 1]),
        (2, [0, 1, 2, 5], [2, 5], [0, 1]),
        (4, [3], [3], [3]),
    ],
)
def test_proxy_and_load_have_cores_of_their_own_where_there_are_enough(
    workers: int, cores: list[int], proxy: list[int], load: list[int]
) -> None:
    assert Cores.share(workers, cores) == Cores(proxy, load)


def test_the_generators_figures_are_its_last_line() -> None:
    figures = {
        "requests": 10,
        "microseconds": 2_000_000,
        "p50": 1,
        "p99": 2,
        "p999": 3,
        "failed": 4,
    }
    out = f"Requests/sec: 5\n{json.dumps(figures)}\n"
    assert wrk.read(out) == Load(10, 2.0, 1, 2, 3, 4)
    with pytest.raises(Failed, match="no figures: unable to connect"):
        wrk.read("unable to connect")


def test_h2loads_figures_are_its_totals_and_the_times_of_its_log() -> None:
    out = (
        "finished in 2.00s, 2.00 req/s, 1.00KB/s\n"
        "requests: 4 total, 6 started, 4 done, 3 succeeded, 1 failed, 0 errored, 0 timeout\n"
    )
    log = "".join(f"1700000000000000\t200\t{time}\n" for time in (100, 200, 300, 400))
    load = h2load.read(out, log, 2)
    assert (load.requests, load.seconds, load.failed) == (4, 2.0, 1)
    assert load.p50 == 250
    assert 390 < load.p99 < load.p999 <= 400
    with pytest.raises(Failed, match="no figures: unable to connect"):
        h2load.read("unable to connect", "", 2)


def sample(cpu_us: float, disturbed: float | None = 0.0, failed: int = 0) -> Sample:
    return Sample(cpu_us, 50_000, 400, 900, 2_000, 20 * 1024 * 1024, failed, disturbed)


def running(name: str, *samples: Sample) -> Running:
    (peer,) = [peer for peer in ALL if peer.name == name]
    process: Process | None = None
    return Running(peer, process, "", [0.3, 0.1, 0.2], 10 * 1024 * 1024, {CASE: list(samples)})


def measured() -> list[Row]:
    pailou = running("pailou", sample(15), sample(30), sample(18), sample(16))
    nginx = running("nginx", sample(10), sample(20), sample(15), sample(10, 0.2, failed=3))
    return rows(Setup(), CASE, [pailou, nginx])


def test_another_proxy_goes_first_in_each_round() -> None:
    three = [running(name) for name in ("pailou", "nginx", "haproxy")]
    firsts = [turned(three, number)[0].peer.name for number in range(4)]
    assert firsts == ["pailou", "nginx", "haproxy", "pailou"]
    assert all(len(turned(three, number)) == 3 for number in range(4))
    assert turned([], 1) == []


def test_a_ratio_is_taken_within_each_round() -> None:
    pailou, nginx = measured()
    assert pailou.ratio is None
    assert nginx.ratio == Spread.of([1.5, 1.5, 1.2, 1.6])
    assert nginx.ratio.median == 1.5
    assert (nginx.failed, nginx.start_seconds) == (3, 0.2)


def test_a_spread_is_the_middle_half_or_all_of_a_few() -> None:
    assert Spread.of([1, 2, 3, 4, 100]) == Spread(2, 3, 4)
    assert Spread.of([1, 2, 100]) == Spread(1, 2, 100)


def test_the_table_has_a_row_for_each_proxy_and_is_aligned() -> None:
    text = table(measured())
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2][0] == "**32 connections, 100 B**"
    assert cells[3][:4] == ["pailou", "17.0", "15.8–21.0", ""]
    assert cells[4] == (
        ["nginx", "12.5", "10.0–16.2", "1.50", "1.43–1.52", "50,000", "400", "900", "2,000"]
        + ["10.0", "20.0", "200", "3"]
    )


def test_a_disturbed_run_says_so() -> None:
    assert "too much for absolute figures" not in noise(measured()[:1])
    assert "too much" in noise(rows(Setup(), CASE, [running("nginx", sample(1, disturbed=0.3))]))
    assert "not known" in noise(rows(Setup(), CASE, [running("nginx", sample(1, disturbed=None))]))


def test_the_plot_shows_every_proxy_cheapest_first() -> None:
    picture = ElementTree.fromstring(plot(measured()))
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["CPU µs per request: 32 connections, 100 B", "nginx", "12.5", "pailou", "17.0"]


def test_the_cpu_time_of_children_counts(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint('spun', flush=True)"
    # One child that has ended, and one that goes on.
    parent = (
        f"import subprocess, sys, time\nspin = [sys.executable, '-c', {spin!r}]\n"
        "subprocess.run(spin)\nsubprocess.Popen([*spin[:2], spin[2] + '\\ntime.sleep(60)'])\n"
        "time.sleep(60)"
    )
    process = Process("parent", [sys.executable, "-c", parent], tmp_path, [0])
    try:
        process.wait_until("end", lambda: process.output.read_text().count("spun") == 2)
        assert 0.5 <= process.cpu_seconds() < 5
        assert process.rss_bytes() > 2 * 1024 * 1024
        (child,) = [pid for pid, fields in processes().items() if int(fields[1]) == process.pid]
    finally:
        process.stop()
    # Whoever takes over the orphan reaps it when it pleases.
    deadline = time.monotonic() + 20
    while processes().get(child, ["Z"])[0] != "Z":
        assert time.monotonic() < deadline, "the child goes on"
        time.sleep(0.01)


def test_realtime_is_refused_or_holds_until_the_end() -> None:
    try:
        go_first()
    except Failed as failure:
        assert str(failure) == "--realtime: only root may go before others"
    else:
        assert os.sched_getscheduler(0) == os.SCHED_RR
        go_beside()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_server_that_ends_is_named_with_what_it_said(tmp_path: Path) -> None:
    process = Process("short", ["sh", "-c", "echo no such port; exit 3"], tmp_path, [0])
    with pytest.raises(Failed, match="short ended with code 3: no such port"):
        process.address()


def site(folder: Path, setup: Setup) -> Site:
    return Site(folder, "127.0.0.1:9100", 8080, setup, None, folder, helper=lambda command: None)


# Pailou's and Spring Cloud Gateway's need more than a folder: a registry, and a build.
CONFIGURED = [
    peer for peer in ALL if peer.routes and peer.name not in ("pailou", "spring cloud gateway")
]


@pytest.mark.parametrize("peer", CONFIGURED, ids=lambda peer: peer.name)
def test_a_proxy_has_every_route(tmp_path: Path, peer: Peer) -> None:
    peer.prepare(site(tmp_path, Setup(routes=100, access_log=True)))
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    wanted = ["/api/bench", *(f"/api/service-{number:05}" for number in range(1, 100))]
    assert [route for route in wanted if route + "/" not in text] == []


def test_the_route_that_is_measured_is_in_the_middle(tmp_path: Path) -> None:
    assert site(tmp_path, Setup()).routes() == ["/api/bench"]
    assert site(tmp_path, Setup(routes=1000)).routes().index("/api/bench") == 500


def test_names_are_known_and_what_is_missing_comes_with_its_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Failed, match="no ngnix; there are no proxy, pailou, "):
        main.chosen(parse(["--peers=ngnix"]))
    with pytest.raises(Failed, match="none of the proxies is there"):
        main.chosen(parse(["--peers=bare hyper", f"--binaries={tmp_path}"]))
    said = capsys.readouterr().err
    assert said == ("bench-load: bare hyper: left out, not installed (make bench-load builds it)\n")


def test_a_proxy_without_routes_is_left_out_of_many() -> None:
    reasons = {peer.name: peer.refuses(Setup(routes=1000)) for peer in ALL}
    assert [name for name, reason in reasons.items() if reason] == [
        "no proxy",
        "bare hyper",
        "bare pingora",
    ]


def test_a_proxy_without_tls_is_left_out_of_it() -> None:
    assert [peer.name for peer in ALL if peer.refuses(Setup(protocol="h2")) is None] == [
        "pailou",
        "nginx",
        "haproxy",
        "envoy",
        "caddy",
    ]


BUILT = pytest.mark.skipif("PAILOU_BIN" not in os.environ, reason="PAILOU_BIN is not set")
WRK = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not there: apt install wrk")


HTTP2 = pytest.param(
    ["--protocols=h2"],
    marks=pytest.mark.skipif(
        shutil.which("h2load") is None, reason="h2load is not there: apt install nghttp2-client"
    ),
)


class Ends(Peer):
    """A proxy that does not stay."""

    name = "ends"

    def found(self, binaries: Path) -> bool:
        return True

    def prepare(self, site: Site) -> list[str | Path]:
        return ["sh", "-c", "echo bad configuration; exit 1"]


@BUILT
def test_a_proxy_that_cannot_be_started_is_left_out_and_counted(tmp_path: Path) -> None:
    binaries = Path(os.environ["PAILOU_BIN"]).parent
    said: list[str] = []
    before = (os.sched_getaffinity(0), os.sched_getscheduler(0))
    options = parse([f"--binaries={binaries}", f"--out={tmp_path}", "--rounds=1"])
    with Bench(options, said.append) as bench:
        assert bench.run(Setup(), [Ends()]) == []
        assert bench.lost == ["ends"]
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == before
    assert said[0] == "ends: left out, ends ended with code 1: bad configuration"


@BUILT
@WRK
@pytest.mark.parametrize(
    "load",
    [["--uploads=10KiB", "--access-log=off,on"], ["--new-connections", "--routes=50"], HTTP2],
    ids=["kept connections", "new connections", "HTTP/2"],
)
def test_a_small_run_measures_the_gateway(tmp_path: Path, load: list[str]) -> None:
    binaries = Path(os.environ["PAILOU_BIN"]).parent
    done = subprocess.run(
        [ROOT / "tools" / "bench-load", f"--binaries={binaries}", f"--out={tmp_path}", *load]
        + ["--peers=pailou", "--connections=4", "--rounds=1", "--seconds=1", "--starts=1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())["results"]
    assert len(results) == (4 if "--access-log=off,on" in load else 1)
    rounds = [only for result in results for only in result["rounds"]]
    assert len(rounds) == len(results)
    for only in rounds:
        # A busy machine may leave a debug build ten requests a second.
        assert only["requests_per_second"] > 0
        assert only["rss_bytes"] > 1024 * 1024
        assert only["failed"] == 0
    # One alone may be shorter than a tick of the clock.
    assert any(only["cpu_us"] > 0 for only in rounds) or len(rounds) == 1
    assert (tmp_path / "table.md").read_text().startswith("| proxy")
    ElementTree.parse(tmp_path / "plot.svg")
