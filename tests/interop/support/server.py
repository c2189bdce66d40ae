"""What the cases ask of a Nacos server, whichever it is: a process, and what an operator does."""

import http.client
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from . import eventually
from . import http as web

GROUP = "DEFAULT_GROUP"
# The life of a token, where it can be set: short, so that cases live through renewals.
TOKEN_SECONDS = 15


@dataclass(frozen=True)
class Line:
    """Which server, and whether it asks for logins and TLS and has its HTTP API of version 1."""

    version: str
    auth: bool
    v1: bool = True
    tls: bool = False

    def __str__(self) -> str:
        parts = {"without-v1": not self.v1, "tls": self.tls, "auth": self.auth}
        return "-".join([self.version, *(part for part, is_so in parts.items() if is_so)])


class PortTaken(AssertionError):
    """Somebody took one of the server's ports between the look at it and the server's start."""


class Server:
    """A server on loopback. Restarted, it has the same ports."""

    keeps_its_data = True
    """Whether configs are there after a restart."""
    can_create_namespaces = True

    def __init__(self, line: Line, port: int, home: Path) -> None:
        self.line = line
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.credentials = ("nacos", "nacos") if line.auth else None
        self.log = home / "server.log"
        self._home = home
        self._process: subprocess.Popen | None = None
        self._token = ("", 0.0)

    def _command(self) -> list[str | Path]:
        raise NotImplementedError

    def _environment(self) -> dict[str, str]:
        return {}

    def _readiness(self) -> str:
        """The path that answers 200 when the server is up."""
        raise NotImplementedError

    def _prepare_accounts(self) -> None:
        """Makes the administrator, where the server has none from the start."""

    def _login_path(self) -> str:
        return "v1/auth/login"

    def _edit_path(self) -> str:
        """Where the console's change of an instance goes."""
        return "v1/ns/instance"

    def _account_paths(self) -> tuple[str, str, str]:
        """Where users, roles and permissions are made."""
        return ("v1/auth/users", "v1/auth/roles", "v1/auth/permissions")

    def start(self) -> None:
        """Starts the process; `wait_ready` waits for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={**os.environ, **self._environment()},
                cwd=self._home,
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
        """Waits until it answers, and until the operator can log in: users are loaded later."""
        eventually(f"{self.line} to be ready", self._is_ready, within=120)
        if self.credentials:
            self._prepare_accounts()
            user, password = self.credentials
            eventually("the operator's login", lambda: self._logged_in(user, password), every=0.3)

    def _is_ready(self) -> bool:
        # Without this, another server on the same port would pass for ours.
        if self._process is None or self._process.poll() is not None:
            log = self.log.read_text()
            kind = PortTaken if "address already in use" in log.lower() else AssertionError
            raise kind(f"{self.line} ended:\n{log[-4000:]}")
        return web.status(self._url(self._readiness())) == 200

    def _logged_in(self, user: str, password: str) -> str | None:
        """A token, or none while the server refuses."""
        try:
            return self.log_in(user, password)
        except (AssertionError, OSError):
            return None

    def kill(self) -> None:
        """Ends it at once. A polite stop takes half a minute, and is not what breaks."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        self._token = ("", 0.0)

    def log_in(self, user: str, password: str) -> str:
        """A token. What a server does with a wrong password differs, and some close the
        connection."""
        form = {"username": user, "password": password}
        try:
            answer = web.request("POST", self._url(self._login_path()), form)
        except http.client.HTTPException as error:
            raise AssertionError(f"no login for {user}: {error!r}") from error
        assert answer.status == 200, f"no login for {user}: {answer}"
        return answer.json()["accessToken"]

    def publish(self, data_id: str, content: str, group: str = GROUP, namespace: str = "") -> None:
        form = {"dataId": data_id, "group": group, "tenant": namespace, "content": content}
        answer = self._send("POST", "v1/cs/configs", form)
        assert answer.text == "true", f"publishing {data_id}: {answer}"

    def remove(self, data_id: str, group: str = GROUP) -> None:
        answer = self._send("DELETE", "v1/cs/configs", {"dataId": data_id, "group": group})
        assert answer.text == "true", f"removing {data_id}: {answer}"

    def config(self, data_id: str, group: str = GROUP) -> str | None:
        answer = self._send("GET", "v1/cs/configs", {"dataId": data_id, "group": group})
        assert answer.status in (200, 404), f"reading {data_id}: {answer}"
        return answer.text if answer.status == 200 else None

    def register(self, service: str, port: int, **more: object) -> None:
        """Registers 127.0.0.1:`port`; it has to be kept alive by beats."""
        self._instance("POST", service, port, more)

    def edit(self, service: str, port: int, **more: object) -> None:
        """Changes an instance as the console does: what is not given gets its default."""
        form = {"serviceName": service, "ip": "127.0.0.1", "port": port, **more}
        answer = self._send("PUT", self._edit_path(), form)
        assert answer.status == 200, f"editing {service} at {port}: {answer}"

    def deregister(self, service: str, port: int, **more: object) -> None:
        self._instance("DELETE", service, port, more)

    def beat(self, service: str, port: int, beat: dict[str, object], **more: object) -> None:
        beat = {"serviceName": service, "ip": "127.0.0.1", "port": port, **beat}
        form = {"serviceName": service, "beat": json.dumps(beat), **more}
        answer = self._send("PUT", "v1/ns/instance/beat", form)
        assert answer.status == 200, f"beat of {service} at {port}: {answer}"

    def instances(self, service: str, **more: object) -> list[dict]:
        answer = self._send("GET", "v1/ns/instance/list", {"serviceName": service, **more})
        assert answer.status == 200, f"instances of {service}: {answer}"
        return answer.json()["hosts"]

    def ports(self, service: str, **more: object) -> set[int]:
        return {host["port"] for host in self.instances(service, **more)}

    def create_namespace(self, namespace: str) -> None:
        form = {"customNamespaceId": namespace, "namespaceName": namespace}
        answer = self._send("POST", "v1/console/namespaces", form)
        assert answer.status == 200, f"creating the namespace {namespace}: {answer}"

    def create_user(self, user: str, password: str, action: str = "rw") -> None:
        """A user who may read and write (or one of them) in the default namespace. The server
        loads it seconds later."""
        role = f"role-of-{user}"
        users, roles, permissions = self._account_paths()
        for path, form in (
            (users, {"username": user, "password": password}),
            (roles, {"username": user, "role": role}),
            # Versions before 3 know the default namespace by both names.
            (permissions, {"role": role, "resource": "public:*:*", "action": action}),
            (permissions, {"role": role, "resource": ":*:*", "action": action}),
        ):
            answer = self._send("POST", path, form)
            assert answer.status == 200, f"{path} for {user}: {answer}"

    def change_password(self, user: str, old: str, new: str) -> None:
        """Done by the user: 3.1.0 lets nobody else, the administrator included."""
        token = eventually("the user's login", lambda: self._logged_in(user, old))
        path = f"{self._account_paths()[0]}?accessToken={token}"
        answer = web.request("PUT", self._url(path), {"username": user, "newPassword": new})
        assert answer.status == 200, f"a new password for {user}: {answer}"

    def ask(self, path: str, token: str) -> web.Answer:
        """A GET with a token of the caller's choice."""
        return web.get(self._url(f"{path}&accessToken={token}"))

    def _instance(self, method: str, service: str, port: int, more: dict[str, object]) -> None:
        form = {"serviceName": service, "ip": "127.0.0.1", "port": port, **more}
        answer = self._send(method, "v1/ns/instance", form)
        assert answer.text == "ok", f"{method} {service} at {port}: {answer}"

    def _send(self, method: str, path: str, form: dict[str, object]) -> web.Answer:
        url = self._url(path)
        if self.credentials:
            token, made = self._token
            if time.monotonic() - made > TOKEN_SECONDS / 3:
                token = self.log_in(*self.credentials)
                self._token = (token, time.monotonic())
            url += f"?accessToken={token}"
        return web.request(method, url, form)

    def _url(self, path: str) -> str:
        return f"http://{self.address}/nacos/{path}"
