"""A real, standalone Nacos server on loopback, from Maven Central."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

from . import ROOT, eventually, http, is_free

VERSION = "3.1.0"
PROJECT = ROOT / "tests" / "interop" / "nacos-server"
MAIN = "pailou.interop.NacosServer"
# What the server wants to be there although logins are off.
SECRET = "cGFpbG91LWludGVyb3Atc2VjcmV0LWtleS1vZi0zMi1ieXRlcyEh"

PROPERTIES = """\
nacos.server.main.port={port}
nacos.server.contextPath=/nacos
server.address=127.0.0.1
server.error.include-message=ALWAYS
nacos.core.auth.system.type=nacos
nacos.core.auth.enabled=false
nacos.core.auth.admin.enabled=false
nacos.core.auth.console.enabled=false
nacos.core.auth.caching.enabled=true
nacos.core.auth.server.identity.key=pailou
nacos.core.auth.server.identity.value=interop
nacos.core.auth.plugin.nacos.token.secret.key={secret}
nacos.core.auth.plugin.nacos.token.expire.seconds=18000
management.metrics.export.elastic.enabled=false
management.metrics.export.influx.enabled=false
"""


def cache_folder() -> Path:
    """Where downloads and classes are kept between runs, outside the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pailou"


def build() -> str:
    """Downloads the server and compiles its main, unless that was done before; the class path."""
    key = hashlib.sha256()
    for source in sorted(path for path in PROJECT.rglob("*") if path.suffix in (".xml", ".java")):
        key.update(source.read_bytes())
    folder = cache_folder() / f"nacos-{VERSION}-{key.hexdigest()[:12]}"
    listing = folder / "classpath"
    if listing.exists():
        jars = listing.read_text().strip()
        if all(Path(jar).exists() for jar in jars.split(os.pathsep)):
            return f"{folder / 'build' / 'classes'}{os.pathsep}{jars}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # Written to another name first: a broken download must not look like a finished one.
    unfinished = folder / "classpath.unfinished"
    subprocess.run(
        [
            "mvn",
            "--batch-mode",
            "--quiet",
            f"--file={PROJECT / 'pom.xml'}",
            f"-Dmaven.repo.local={cache_folder() / 'maven'}",
            f"-Dpailou.build={folder / 'build'}",
            "compile",
            "dependency:build-classpath",
            f"-Dmdep.outputFile={unfinished}",
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    unfinished.rename(listing)
    return f"{folder / 'build' / 'classes'}{os.pathsep}{listing.read_text().strip()}"


def free_base_port() -> int:
    """A port whose neighbours that a server also takes (gRPC, cluster gRPC, raft) are free too."""
    while True:
        port = random.randrange(20000, 30000)
        if all(is_free(port + offset) for offset in (0, 1000, 1001, -1000)):
            return port


class NacosServer:
    """The server and what an operator does with it. Restarted, it has the same ports and data."""

    def __init__(self, home: Path) -> None:
        self.port = free_base_port()
        self.address = f"127.0.0.1:{self.port}"
        self.log = home / "server.log"
        self._home = home
        self._process: subprocess.Popen | None = None
        (home / "conf").mkdir(parents=True)
        properties = PROPERTIES.format(port=self.port, secret=SECRET)
        (home / "conf" / "application.properties").write_text(properties)

    def start(self) -> None:
        """Starts the process; `wait_ready` waits for it."""
        home = self._home
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "java",
                    "-Xms128m",
                    "-Xmx512m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-Djava.net.preferIPv4Stack=true",
                    "-Dnacos.standalone=true",
                    f"-Dnacos.home={home}",
                    f"-Duser.home={home}",
                    "-Dnacos.server.ip=127.0.0.1",
                    MAIN,
                    f"--spring.config.additional-location=file:{home}/conf/",
                ],
                env={**os.environ, "CLASSPATH": build()},
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ensure_running(self) -> None:
        """Starts it again when a case that failed has left it dead."""
        if self._process is None:
            self.start()
            self.wait_ready()

    def wait_ready(self) -> None:
        eventually("the Nacos server to be ready", self._is_ready, within=120)

    def _is_ready(self) -> bool:
        # Without this, another server on the same port would pass for ours.
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the Nacos server ended:\n{self.log.read_text()[-4000:]}")
        return http.status(self._url("v3/admin/core/state/readiness")) == 200

    def kill(self) -> None:
        """Ends it at once. A polite stop takes half a minute, and is not what breaks."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def publish(self, data_id: str, content: str) -> None:
        form = {"dataId": data_id, "group": "DEFAULT_GROUP", "content": content}
        answer = http.request("POST", self._url("v1/cs/configs"), form)
        assert answer.text == "true", f"publishing {data_id}: {answer}"

    def remove(self, data_id: str) -> None:
        form = {"dataId": data_id, "group": "DEFAULT_GROUP"}
        answer = http.request("DELETE", self._url("v1/cs/configs"), form)
        assert answer.text == "true", f"removing {data_id}: {answer}"

    def register(self, service: str, port: int, **more: object) -> None:
        """Registers 127.0.0.1:`port`; it has to be kept alive by beats."""
        self._instance("POST", service, port, more)

    def edit(self, service: str, port: int, **more: object) -> None:
        """Changes an instance as the console does. (The v1 form of this is 410 by default.)"""
        form = {"serviceName": service, "ip": "127.0.0.1", "port": port, **more}
        answer = http.request("PUT", self._url("v3/admin/ns/instance"), form)
        assert answer.status == 200, f"editing {service} at {port}: {answer}"

    def deregister(self, service: str, port: int) -> None:
        self._instance("DELETE", service, port, {})

    def beat(self, service: str, port: int, beat: str) -> None:
        form = {"serviceName": service, "ip": "127.0.0.1", "port": port, "beat": beat}
        answer = http.request("PUT", self._url("v1/ns/instance/beat"), form)
        assert answer.status == 200, f"beat of {service} at {port}: {answer}"

    def instances(self, service: str) -> list[dict]:
        answer = http.request("GET", self._url("v1/ns/instance/list"), {"serviceName": service})
        assert answer.status == 200, f"instances of {service}: {answer}"
        return answer.json()["hosts"]

    def _instance(self, method: str, service: str, port: int, more: dict[str, object]) -> None:
        form = {"serviceName": service, "ip": "127.0.0.1", "port": port, **more}
        answer = http.request(method, self._url("v1/ns/instance"), form)
        assert answer.text == "ok", f"{method} {service} at {port}: {answer}"

    def _url(self, path: str) -> str:
        return f"http://{self.address}/nacos/{path}"
