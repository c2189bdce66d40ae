"""One load, by wrk: each connection sends its next request when it has its answer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from .load import GRACE_SECONDS, HEADERS, Load, generate
from .options import Case
from .process import Failed

CURE = "apt install wrk"
# `done` runs once, at the end; a script without `request` costs nothing while the load runs.
SCRIPT = """\
{request}
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{{"requests":%d,"microseconds":%d,"p50":%.0f,"p99":%.0f,"p999":%.0f,"failed":%d}}\\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
UPLOAD = """\
wrk.method = "POST"
wrk.body = string.rep("x", {bytes})
wrk.headers["Content-Type"] = "application/octet-stream"
"""


def found() -> bool:
    return shutil.which("wrk") is not None


def run(
    url: str, case: Case, seconds: int, folder: Path, sample: Callable[[], None] = lambda: None
) -> Load:
    """Sends the load of `case` to `url/SIZE`; `sample` is called again and again while it runs."""
    script = folder / "wrk.lua"
    upload = UPLOAD.format(bytes=case.upload_bytes) if case.upload_bytes else ""
    script.write_text(SCRIPT.format(request=upload))
    headers = {**HEADERS, "Connection": "close"} if case.new_connections else HEADERS
    command = ["wrk", "--threads=1", f"--connections={case.connections}"]
    # Its own limit of two seconds would count a slow answer of a busy machine as failed.
    command += [f"--duration={seconds}s", f"--timeout={GRACE_SECONDS}s", f"--script={script}"]
    command += [f"--header={name}: {value}" for name, value in headers.items()]
    return read(generate([*command, f"{url}/{case.answer_bytes}"], seconds, sample))


def read(out: str) -> Load:
    """The line of JSON that the script printed."""
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed(f"wrk printed no figures: {out.strip()[-1000:]}")
    said = json.loads(lines[-1])
    return Load(
        requests=said["requests"],
        seconds=said["microseconds"] / 1e6,
        p50=said["p50"],
        p99=said["p99"],
        p999=said["p999"],
        failed=said["failed"],
    )
