"""Spring Cloud Gateway 4.3, the project of benches/peers/scg, built from Maven Central."""

import json
import shutil
import subprocess
from pathlib import Path

from ..options import ROOT
from ..process import Failed
from .peer import Peer, Site

PROJECT = ROOT / "benches" / "peers" / "scg"
BUILD_SECONDS = 600


class SpringCloudGateway(Peer):
    """Its workers are netty's event loops. Its start is that of a JVM."""

    name = "spring cloud gateway"
    warm_up_seconds = 30
    cure = "apt install openjdk-17-jdk-headless maven; the rest comes from Maven Central"

    def found(self, binaries: Path) -> bool:
        return bool(shutil.which("java") and shutil.which("mvn"))

    def version(self) -> str:
        text = (PROJECT / "pom.xml").read_text()
        release = text.partition("<spring-cloud.version>")[2].partition("<")[0]
        return f"of Spring Cloud {release}"

    def prepare(self, site: Site) -> list[str | Path]:
        target = site.binaries.parent / "bench-scg"
        jar = build(target)
        routes = [
            {
                "id": f"route-{number}",
                "uri": f"http://{site.origin}",
                "predicates": [f"Path={route}/**"],
            }
            for number, route in enumerate(site.routes())
        ]
        settings = {
            "server": {"address": "127.0.0.1", "port": site.port},
            "spring": {
                "main": {"banner-mode": "off"},
                "cloud": {"gateway": {"server": {"webflux": {"routes": routes}}}},
            },
            "logging": {"level": {"root": "WARN", "reactor.netty.http.server.AccessLog": "INFO"}},
        }
        # JSON is YAML.
        file = site.write("application.yaml", json.dumps(settings))
        options = [
            f"-Dreactor.netty.ioWorkerCount={site.setup.workers}",
            f"-Dreactor.netty.http.server.accessLogEnabled={str(site.setup.access_log).lower()}",
        ]
        return ["java", *options, "-jar", jar, f"--spring.config.location={file}"]


def build(target: Path) -> Path:
    """Makes the jar unless it is newer than the project."""
    jar = target / "bench-scg.jar"
    sources = [file for file in PROJECT.rglob("*") if file.is_file()]
    if jar.exists() and jar.stat().st_mtime > max(file.stat().st_mtime for file in sources):
        return jar
    command = ["mvn", "--batch-mode", "--quiet", f"-Dbench.target={target}", "package"]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        raise Failed(f"Maven cannot build it: {done.stdout.strip()[-1000:]}")
    return jar
