"""Real, standalone Nacos servers on loopback, from Maven Central."""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from . import cache, is_free
from . import http as web
from .certificates import Certificates
from .server import GROUP, TOKEN_SECONDS, Line, Server

# What signs the tokens; the server wants it to be there even when logins are off.
SECRET = "cGFpbG91LWludGVyb3Atc2VjcmV0LWtleS1vZi0zMi1ieXRlcyEh"

# What version 3 answers to a beat of an instance that it does not know.
INSTANCE_NOT_FOUND = 21003

PROPERTIES = """\
server.address=127.0.0.1
server.error.include-message=ALWAYS
nacos.core.auth.system.type=nacos
nacos.core.auth.enabled={auth}
nacos.core.auth.caching.enabled=true
nacos.core.auth.server.identity.key=pailou
nacos.core.auth.server.identity.value=interop
nacos.core.auth.plugin.nacos.token.secret.key={secret}
nacos.core.auth.plugin.nacos.token.expire.seconds={token_seconds}
"""
PROPERTIES_2 = """\
server.port={port}
server.servlet.contextPath=/nacos
"""
PROPERTIES_3 = """\
nacos.server.main.port={port}
nacos.server.contextPath=/nacos
nacos.core.auth.admin.enabled={auth}
nacos.core.auth.console.enabled=false
management.metrics.export.elastic.enabled=false
management.metrics.export.influx.enabled=false
"""


def free_base_port() -> int:
    """A port whose neighbours that a server also takes (gRPC, cluster gRPC, raft) are free too.

    The last three digits are this test process's own: servers of two processes that look at one
    time cannot come to one port, since all neighbours but one are whole thousands away.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    while True:
        port = random.randrange(20, 30) * 1000 + process * 100 + random.randrange(0, 100, 2)
        if all(is_free(port + offset) for offset in (0, 1000, 1001, -1000)):
            return port


class NacosServer(Server):
    """A Java server; a subclass for each line says what is particular to it."""

    main: str
    properties: str

    def __init__(self, line: Line, home: Path) -> None:
        super().__init__(line, free_base_port(), home)
        self._scratch = home / "tmp"
        (home / "conf").mkdir(parents=True)
        properties = (PROPERTIES + self.properties).format(
            port=self.port,
            secret=SECRET,
            token_seconds=TOKEN_SECONDS,
            auth=str(line.auth).lower(),
        )
        (home / "conf" / "application.properties").write_text(properties)

    def start(self) -> None:
        # A server that is killed leaves unpacked libraries behind, 20 MB each time.
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        super().start()

    def kill(self) -> None:
        super().kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _command(self) -> list[str | Path]:
        home = self._home
        return [
            "java",
            "-Xms128m",
            "-Xmx512m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Djava.net.preferIPv4Stack=true",
            f"-Djava.io.tmpdir={self._scratch}",
            # The database does not wait for the disk: on a busy one its first connection times out.
            "-Dderby.system.durability=test",
            "-Dnacos.standalone=true",
            f"-Dnacos.home={home}",
            f"-Duser.home={home}",
            "-Dnacos.server.ip=127.0.0.1",
            self.main,
            f"--spring.config.additional-location=file:{home}/conf/",
        ]

    def _environment(self) -> dict[str, str]:
        return {"CLASSPATH": cache.class_path(self.line.version)}


class Nacos2(NacosServer):
    main = "com.alibaba.nacos.NacosServer"
    properties = PROPERTIES_2
    # They belong to the console, which is left out. Services and configs may name one all the same.
    can_create_namespaces = False

    def _readiness(self) -> str:
        return "v1/ns/operator/metrics"


class Nacos3(NacosServer):
    main = "pailou.interop.NacosServer"
    properties = PROPERTIES_3

    def _readiness(self) -> str:
        return "v3/admin/core/state/readiness"

    def _edit_path(self) -> str:
        # The form of version 1 is 410 by default.
        return "v3/admin/ns/instance"

    def _account_paths(self) -> tuple[str, str, str]:
        return ("v3/auth/user", "v3/auth/role", "v3/auth/permission")

    def _prepare_accounts(self) -> None:
        # Answered with a conflict when it was done before.
        web.request("POST", self._url("v3/auth/user/admin"), {"password": "nacos"})

    def create_namespace(self, namespace: str) -> None:
        form = {"namespaceId": namespace, "namespaceName": namespace}
        answer = self._send("POST", "v3/admin/core/namespace", form)
        assert answer.status == 200, f"creating the namespace {namespace}: {answer}"


PROPERTIES_TLS = """\
nacos.remote.server.rpc.tls.enableTls=true
nacos.remote.server.rpc.tls.compatibility=false
nacos.remote.server.rpc.tls.mutualAuthEnable=true
nacos.remote.server.rpc.tls.certChainFile=file:{server}
nacos.remote.server.rpc.tls.certPrivateKey=file:{key}
nacos.remote.server.rpc.tls.trustCollectionCertFile=file:{authority}
"""


class Nacos3WithTls(Nacos3):
    """The same with TLS on the gRPC port, where clients have to show a certificate."""

    def __init__(self, line: Line, home: Path) -> None:
        self.certificates = Certificates(home / "certificates")
        self.properties = PROPERTIES_3 + PROPERTIES_TLS.format(
            server=self.certificates.server,
            key=self.certificates.server_key,
            authority=self.certificates.authority,
        )
        super().__init__(line, home)


class Nacos3WithoutV1(Nacos3):
    """The same with its API of version 1 switched off, each path of which is 410 then.

    It is as near as one comes to a server from 3.2 on, where that API does not exist.
    """

    properties = PROPERTIES_3 + "nacos.core.api.compatibility.client.enabled=false\n"

    def _login_path(self) -> str:
        return "v3/auth/user/login"

    def publish(self, data_id: str, content: str, group: str = GROUP, namespace: str = "") -> None:
        form = {"dataId": data_id, "groupName": group, "namespaceId": namespace, "content": content}
        self._data("POST", "v3/admin/cs/config", form)

    def remove(self, data_id: str, group: str = GROUP) -> None:
        self._data("DELETE", "v3/admin/cs/config", {"dataId": data_id, "groupName": group})

    def instances(self, service: str, **more: object) -> list[dict]:
        return self._data("GET", "v3/client/ns/instance/list", {"serviceName": service, **more})

    def beat(self, service: str, port: int, beat: dict[str, object], **more: object) -> None:
        known = {"serviceName": service, "ip": "127.0.0.1", "port": port, "heartBeat": "true"}
        answer = self._send("POST", "v3/client/ns/instance", {**known, **more})
        if answer.status == 200 and answer.json()["code"] == INSTANCE_NOT_FOUND:
            details = {
                "weight": beat["weight"],
                "clusterName": beat["cluster"],
                "metadata": json.dumps(beat["metadata"]),
            }
            self.register(service, port, **details, **more)

    def _instance(self, method: str, service: str, port: int, more: dict[str, object]) -> None:
        form = {"serviceName": service, "ip": "127.0.0.1", "port": port, **more}
        self._data(method, "v3/client/ns/instance", form)

    def _data(self, method: str, path: str, form: dict[str, object]) -> Any:
        answer = self._send(method, path, form)
        assert answer.status == 200, f"{method} {path}: {answer}"
        body = answer.json()
        assert body["code"] == 0, f"{method} {path}: {answer}"
        return body["data"]
