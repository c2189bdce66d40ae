"""One load over HTTP/2, by h2load of nghttp2.

Each stream of a connection sends its next request when it has its answer.
"""

import re
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path

from .load import HEADERS, Load, generate
from .options import STREAMS, Case
from .process import Failed

CURE = "apt install nghttp2-client"


def found() -> bool:
    return shutil.which("h2load") is not None


def run(
    url: str, case: Case, seconds: int, folder: Path, sample: Callable[[], None] = lambda: None
) -> Load:
    """Sends the load of `case` to `url/SIZE`; `sample` is called again and again while it runs."""
    log = folder / "h2load.log"
    # h2load adds to a file that is there.
    log.unlink(missing_ok=True)
    command = ["h2load", "--threads=1", f"--clients={case.connections}"]
    command += [f"--max-concurrent-streams={STREAMS}", f"--duration={seconds}", f"--log-file={log}"]
    command += [f"--header={name}: {value}" for name, value in HEADERS.items()]
    if case.upload_bytes:
        body = folder / "upload"
        body.write_bytes(b"x" * case.upload_bytes)
        command += [f"--data={body}", "--header=Content-Type: application/octet-stream"]
    out = generate([*command, f"{url}/{case.answer_bytes}"], seconds, sample)
    return read(out, log.read_text() if log.exists() else "", seconds)


def read(out: str, log: str, seconds: int) -> Load:
    """The totals that h2load printed, and the times of answers from its log.

    A line of the log is `start, status, microseconds`.
    """
    totals = re.search(
        r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out
    )
    if totals is None:
        raise Failed(f"h2load printed no figures: {out.strip()[-1000:]}")
    done, _, failed, _, _ = map(int, totals.groups())
    times = [int(line.split("\t")[2]) for line in log.splitlines()]
    cuts = (
        statistics.quantiles(times, n=1000, method="inclusive") if len(times) > 1 else [0.0] * 999
    )
    return Load(done, float(seconds), cuts[499], cuts[989], cuts[998], failed)
