"""The samples behind the gateway, as `make run-samples` starts them.

PAILOU_BIN names the gateway's binary; the Rust sample's is beside it.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60.0


def free_pair() -> int:
    """A free port whose neighbour, 1000 further, is free too: a registry takes both."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1000))
            except (OSError, OverflowError):
                continue
            return port


def eventually(what: str, probe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        result = probe()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS:g} s in vain for: {what}"
        time.sleep(0.05)


def get(url: str, form: dict[str, str] | None = None) -> Any:
    """The JSON, or else the text, of a GET, or of a POST of `form`; None for anything but 200."""
    data = urllib.parse.urlencode(form).encode() if form else None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, data, timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


class Samples:
    """A running `tools/run-samples`."""

    def __init__(self, log: Path, **chosen: int) -> None:
        self._log = log
        names = ("port", "admin-port", "probes-port", "registry-port", "users-port", "orders-port")
        self.ports = {name: chosen.get(name) or free_pair() for name in names}
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NACOS_", "PAILOU_"))}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [
                    # What started the tests may ignore Ctrl-C, as a shell's background job does.
                    "env",
                    "--default-signal=INT",
                    sys.executable,
                    ROOT / "tools" / "run-samples",
                    f"--binaries={Path(os.environ['PAILOU_BIN']).parent}",
                    *(f"--{name}={port}" for name, port in self.ports.items()),
                ],
                env=clean,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_up(self) -> None:
        def is_up() -> bool:
            assert self.process.poll() is None, self.log()
            return "Ctrl-C stops everything" in self.log()

        eventually("the samples to be up", is_up)

    def get(self, path: str) -> Any:
        return get(f"http://127.0.0.1:{self.ports['port']}{path}")

    def publish(self, data_id: str, content: str) -> None:
        form = {"dataId": data_id, "group": "DEFAULT_GROUP", "content": content}
        url = f"http://127.0.0.1:{self.ports['registry-port']}/nacos/v1/cs/configs"
        assert get(url, form) is True


@pytest.fixture
def samples(tmp_path: Path) -> Iterator[Samples]:
    samples = Samples(tmp_path / "run-samples.log")
    yield samples
    if samples.process.poll() is None:
        samples.process.terminate()
        samples.process.wait(timeout=60)


def test_both_samples_answer_through_the_gateway_until_ctrl_c(samples: Samples) -> None:
    samples.wait_up()
    assert samples.get("/api/users/1")["name"] == "Lin Huiyin"
    assert len(samples.get("/api/users/")["users"]) == 3
    assert samples.get("/api/orders/7")["id"] == 7
    assert samples.get("/api/fastapi/orders/7")["order"]["id"] == 7

    samples.publish("fastapi-user-service.json", '{"greeting": "hello"}')
    eventually(
        "the FastAPI sample's new config",
        lambda: samples.get("/api/fastapi/config")["values"] == {"greeting": "hello"},
    )

    # What it prints are commands that work when pasted.
    for command in re.findall(r"^  (curl -s \S+)(?: +#.*)?$", samples.log(), re.MULTILINE):
        pasted = subprocess.run(["bash", "-c", f"{command} --fail"], capture_output=True)
        assert pasted.returncode == 0, command

    samples.process.send_signal(signal.SIGINT)
    assert samples.process.wait(timeout=60) == 0, samples.log()
    for name, port in samples.ports.items():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0, f"{name} is still open"


def test_a_taken_port_ends_it_with_a_message_that_names_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        samples = Samples(tmp_path / "run-samples.log", port=port)
        assert samples.process.wait(timeout=60) == 1
    assert str(port) in samples.log()
