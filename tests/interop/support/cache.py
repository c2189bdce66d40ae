"""What is downloaded once and kept between runs, outside the checkout."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import ROOT

SUITE = ROOT / "tests" / "interop"


def folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pailou"


def class_path(version: str) -> str:
    """Downloads a server and compiles its main, unless that was done before."""
    project = SUITE / "servers" / f"nacos-{version}"
    sources = sorted(path for path in project.rglob("*") if path.suffix in (".xml", ".java"))
    built = folder() / f"nacos-{version}-{_digest(*sources)}"
    with _alone():
        return _class_path(project, built)


def _class_path(project: Path, built: Path) -> str:
    listing = built / "classpath"
    if listing.exists():
        jars = listing.read_text().strip()
        if all(Path(jar).exists() for jar in jars.split(os.pathsep)):
            return f"{built / 'build' / 'classes'}{os.pathsep}{jars}"
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir(parents=True)
    # Written to another name first: a broken download must not look like a finished one.
    unfinished = built / "classpath.unfinished"
    _run(
        "mvn",
        "--batch-mode",
        "--quiet",
        f"--file={project / 'pom.xml'}",
        f"-Dmaven.repo.local={folder() / 'maven'}",
        f"-Dpailou.build={built / 'build'}",
        "compile",
        "dependency:build-classpath",
        f"-Dmdep.outputFile={unfinished}",
    )
    unfinished.rename(listing)
    return f"{built / 'build' / 'classes'}{os.pathsep}{listing.read_text().strip()}"


def python_with(requirements: Path) -> Path:
    """The Python of an environment that has these requirements."""
    built = folder() / f"{requirements.stem}-{_digest(requirements)}"
    finished = built / "finished"
    with _alone():
        if not finished.exists():
            _run(sys.executable, "-m", "venv", "--clear", built)
            pip = (built / "bin" / "pip", "install", "--disable-pip-version-check", "--no-input")
            _run(*pip, "--quiet", "--requirement", requirements)
            finished.touch()
    return built / "bin" / "python"


@contextmanager
def _alone() -> Iterator[None]:
    """Keeps the other processes out that run cases at the same time."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
