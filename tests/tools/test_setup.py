"""`tools/setup` names what is missing in one line each, and `make help` lists what there is."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What the script itself is made of.
SHELL_TOOLS = ("bash", "env", "sort", "head", "cut", "id", "sed")
# Stand-ins for every tool, new enough.
GOOD = {
    "cargo": "echo cargo 1.89.0",
    "cc": "exit 0",
    "cmake": "exit 0",
    "curl": "exit 0",
    "python3": "echo 3.11",
    "java": "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2",
    "javac": "exit 0",
    "mvn": "exit 0",
    "wrk": "exit 0",
    "h2load": "exit 0",
    "openssl": "exit 0",
    "redis-server": "exit 0",
}


def setup(
    folder: Path, purpose: str, changes: dict[str, str | None]
) -> subprocess.CompletedProcess[str]:
    """Runs the script where only the stand-ins are, with `changes`; None takes a tool away."""
    folder.mkdir(exist_ok=True)
    for name in SHELL_TOOLS:
        real = shutil.which(name)
        assert real is not None
        (folder / name).symlink_to(real)
    for name, body in {**GOOD, **changes}.items():
        if body is not None:
            (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (folder / name).chmod(stat.S_IRWXU)
    return subprocess.run(
        [ROOT / "tools" / "setup", purpose],
        env={"PATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize("purpose", ["build", "load", "test", "interop"])
def test_it_says_nothing_when_everything_is_there(tmp_path: Path, purpose: str) -> None:
    done = setup(tmp_path, purpose, {})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("purpose", "changes", "line"),
    [
        ("build", {"cargo": None}, "missing Rust 1.89 or later: https://rustup.rs"),
        ("build", {"cargo": "echo cargo 1.88.9"}, "missing Rust 1.89 or later"),
        ("build", {"cc": None}, "missing a C compiler: apt install gcc"),
        ("build", {"cmake": None}, "missing cmake: apt install cmake"),
        ("build", {"curl": None}, "missing curl, which make run's commands are made of"),
        ("test", {"python3": "echo 3.10"}, "missing Python 3.11 or later"),
        (
            "test",
            {"python3": 'echo 3.11; [[ "$2" != *ensurepip* ]]'},
            "missing Python's venv module: apt install python3-venv",
        ),
        (
            "load",
            {"wrk": None},
            "missing wrk, the load generator of make bench-load: apt install wrk",
        ),
        ("test", {"wrk": None}, "missing wrk"),
        ("load", {"h2load": None}, "missing h2load, the same for HTTP/2: apt install nghttp2"),
        (
            "test",
            {"redis-server": None},
            "missing redis-server, in which tests of limits count: apt install redis-server",
        ),
        ("interop", {"javac": None}, "missing a JDK, 17 or later: apt install openjdk-17"),
        ("interop", {"java": "echo 'version \"11.0.2\"' >&2"}, "missing a JDK, 17 or later"),
        ("interop", {"mvn": None}, "missing Maven: apt install maven"),
        ("interop", {"openssl": None}, "missing openssl, for the certificates of a run"),
    ],
    ids=str,
)
def test_it_names_what_is_missing_in_one_line(
    tmp_path: Path, purpose: str, changes: dict[str, str | None], line: str
) -> None:
    done = setup(tmp_path, purpose, changes)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert line in said


def test_it_asks_only_for_what_the_purpose_needs(tmp_path: Path) -> None:
    assert setup(tmp_path, "build", {"python3": None, "java": None, "mvn": None}).returncode == 0
    without_venv = {"python3": 'echo 3.11; [[ "$2" != *ensurepip* ]]', "java": None}
    assert setup(tmp_path / "load", "load", without_venv).returncode == 0
    without_load = {"wrk": None, "h2load": None}
    assert setup(tmp_path / "interop", "interop", without_load).returncode == 0


def test_help_lists_the_targets() -> None:
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "run",
        "run-samples",
        "test",
        "lint",
        "bench",
        "bench-load",
        "interop",
        "docs",
        "image",
        "check-tools",
    ):
        assert f"make {target} " in listed
