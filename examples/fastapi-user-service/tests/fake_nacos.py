"""A Nacos that keeps everything in memory: as much of its HTTP v1 API as the SDK uses."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit

WORD, LINE = "\x02", "\x01"


@dataclass
class State:
    """What the server holds; every access is under `changed`."""

    instances: dict[tuple[str, str], dict] = field(default_factory=dict)
    """By service name and address."""
    beats: list[dict] = field(default_factory=list)
    registrations: list[dict] = field(default_factory=list)
    configs: dict[tuple[str, str], str] = field(default_factory=dict)
    """By data id and group."""
    beats_register: bool = True
    """Whether a beat for an unknown instance registers it; if not it is answered with 20404."""
    changed: threading.Condition = field(default_factory=threading.Condition)


class FakeNacos:
    """The server. It can be stopped and started again on the same port, with or without memory."""

    def __init__(self) -> None:
        self.state = State()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("BoundHandler", (Handler,), {"state": self.state})
        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def forget_instances(self) -> None:
        """What a restart does to ephemeral instances."""
        with self.state.changed:
            self.state.instances.clear()

    def publish(self, data_id: str, content: str | None, group: str = "DEFAULT_GROUP") -> None:
        with self.state.changed:
            if content is None:
                self.state.configs.pop((data_id, group), None)
            else:
                self.state.configs[(data_id, group)] = content
            self.state.changed.notify_all()

    def put_instance(self, service: str, port: int, **changes: object) -> None:
        host = {"ip": "127.0.0.1", "port": port, "weight": 1.0, "enabled": True, "healthy": True}
        with self.state.changed:
            self.state.instances[(service, f"127.0.0.1:{port}")] = {**host, **changes}

    def instances(self, service: str) -> list[dict]:
        with self.state.changed:
            return [host for (name, _), host in self.state.instances.items() if name == service]


class Handler(BaseHTTPRequestHandler):
    state: State

    def do_GET(self) -> None:
        self._dispatch()

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _dispatch(self) -> None:
        target = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        text = self.rfile.read(length).decode() + "&" + target.query
        form = {key: values[0] for key, values in parse_qs(text).items()}
        answers = {
            ("POST", "/nacos/v1/ns/instance"): self._register,
            ("DELETE", "/nacos/v1/ns/instance"): self._deregister,
            ("PUT", "/nacos/v1/ns/instance/beat"): self._beat,
            ("GET", "/nacos/v1/ns/instance/list"): self._list,
            ("GET", "/nacos/v1/cs/configs"): self._config,
            ("POST", "/nacos/v1/cs/configs/listener"): self._listen,
        }
        answer = answers.get((self.command, target.path))
        status, body = answer(form) if answer else (404, "No message available")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def _register(self, form: dict[str, str]) -> tuple[int, str]:
        with self.state.changed:
            self.state.registrations.append(form)
            self._keep(form["serviceName"], form, form["clusterName"], json.loads(form["metadata"]))
        return 200, "ok"

    def _deregister(self, form: dict[str, str]) -> tuple[int, str]:
        with self.state.changed:
            self.state.instances.pop((form["serviceName"], f"{form['ip']}:{form['port']}"), None)
        return 200, "ok"

    def _beat(self, form: dict[str, str]) -> tuple[int, str]:
        beat = json.loads(form["beat"])
        with self.state.changed:
            self.state.beats.append(beat)
            known = (form["serviceName"], f"{beat['ip']}:{beat['port']}") in self.state.instances
            if not known and not self.state.beats_register:
                return 200, json.dumps({"code": 20404, "clientBeatInterval": 5000})
            self._keep(form["serviceName"], beat, beat["cluster"], beat["metadata"])
        return 200, json.dumps({"code": 10200, "clientBeatInterval": 5000})

    def _keep(self, service: str, host: dict, cluster: str, metadata: dict) -> None:
        self.state.instances[(service, f"{host['ip']}:{host['port']}")] = {
            "ip": host["ip"],
            "port": int(host["port"]),
            "weight": float(host["weight"]),
            "enabled": True,
            "healthy": True,
            "clusterName": cluster,
            "metadata": metadata,
        }

    def _list(self, form: dict[str, str]) -> tuple[int, str]:
        with self.state.changed:
            hosts = [
                host
                for (name, _), host in self.state.instances.items()
                if name == form["serviceName"]
            ]
        return 200, json.dumps({"name": form["serviceName"], "hosts": hosts})

    def _config(self, form: dict[str, str]) -> tuple[int, str]:
        with self.state.changed:
            content = self.state.configs.get((form["dataId"], form["group"]))
        return (404, "config data not exist\n") if content is None else (200, content)

    def _listen(self, form: dict[str, str]) -> tuple[int, str]:
        """Answers as soon as the one config that is asked for differs from the md5 given."""
        data_id, group, md5, tenant = form["Listening-Configs"].rstrip(LINE).split(WORD)

        def differs() -> bool:
            content = self.state.configs.get((data_id, group))
            return ("" if content is None else hashlib.md5(content.encode()).hexdigest()) != md5

        held = int(self.headers["Long-Pulling-Timeout"]) / 1000 - 0.5
        with self.state.changed:
            if not self.state.changed.wait_for(differs, held):
                return 200, ""
        words = [data_id, group, tenant] if tenant else [data_id, group]
        return 200, quote(WORD.join(words) + LINE)
