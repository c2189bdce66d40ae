"""The service and Nacos, from start to stop."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from .conftest import Registry, Service, eventually

NAME = "fastapi-user-service-grpc"
DATA_ID = "fastapi-user-service-grpc.json"

Start = Callable[..., Service]


class OrderService(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"id": int(self.path.rpartition("/")[2])}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_it_registers_and_on_sigterm_it_leaves_first_and_then_closes(
    registry: Registry, start: Start
) -> None:
    service = start(registry, DRAIN_SECONDS="1.5")
    host = eventually(lambda: registry.instances(NAME), "registered")[0]
    assert (host["ip"], host["port"], host["ephemeral"]) == ("127.0.0.1", service.port, True)
    assert host["clusterName"] == "DEFAULT"
    assert host["metadata"] == {"version": "1.0.0", "env": "dev", "framework": "fastapi"}
    expected = {"id": 2, "name": "Liang Sicheng", "instance": f"127.0.0.1:{service.port}"}
    assert service.json("/users/2") == expected
    assert service.http.get("/users/99").status_code == 404

    service.terminate()
    eventually(lambda: not registry.instances(NAME), "deregistered")
    assert service.http.get("/users/1").status_code == 200, "it still answers while it drains"
    service.process.wait(timeout=15)
    with pytest.raises(httpx.TransportError):
        service.http.get("/users/1")


def test_name_group_namespace_and_address_come_from_the_environment(
    registry: Registry, start: Start
) -> None:
    start(
        registry,
        NACOS_SERVICE_NAME="people",
        NACOS_GROUP="TEAM_A",
        NACOS_NAMESPACE="staging",
        NACOS_SERVICE_IP="127.0.0.9",
        NACOS_SERVICE_PORT="9999",
    )
    place = {"groupName": "TEAM_A", "namespaceId": "staging"}
    host = eventually(lambda: registry.instances("people", **place), "registered")[0]
    assert (host["ip"], host["port"]) == ("127.0.0.9", 9999)


def test_the_config_follows_nacos(registry: Registry, start: Start) -> None:
    registry.publish(DATA_ID, '{"greeting": "hello"}')
    service = start(registry)

    def values() -> object:
        return service.json("/config")["values"]

    eventually(lambda: values() == {"greeting": "hello"}, "there at the start")
    registry.publish(DATA_ID, '{"greeting": "good day"}')
    eventually(lambda: values() == {"greeting": "good day"}, "changed")
    registry.publish(DATA_ID, "{")
    eventually(lambda: service.json("/config")["error"], "the bad content is shown")
    assert values() == {"greeting": "good day"}, "the last good one stays"
    registry.remove(DATA_ID)
    eventually(lambda: not service.json("/config")["present"], "removed")


def test_it_finds_the_order_service(registry: Registry, start: Start) -> None:
    service = start(registry)
    eventually(lambda: registry.instances(NAME), "registered")
    assert service.http.get("/orders/7").status_code == 503
    server = HTTPServer(("127.0.0.1", 0), OrderService)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    registry.register("order-service", server.server_address[1])
    eventually(lambda: service.http.get("/orders/7").status_code == 200, "found")
    assert service.json("/orders/7")["order"] == {"id": 7}
    server.shutdown()
    server.server_close()
    assert service.http.get("/orders/7").status_code == 502


def test_it_serves_while_nacos_is_down_and_registers_when_it_comes(start: Start) -> None:
    registry = Registry()
    service = start(registry)
    assert service.json("/users/1")["name"] == "Lin Huiyin"
    assert eventually(lambda: service.json("/health")["nacos"]["error"], "the failure is shown")
    try:
        registry.start()
        eventually(lambda: registry.instances(NAME), "registered")
        eventually(lambda: service.json("/health")["nacos"]["registered"], "shown")
        # A restart forgets it, and the SDK registers again.
        registry.stop()
        registry.start()
        eventually(lambda: registry.instances(NAME), "registered again")
        assert service.http.get("/users/1").status_code == 200
    finally:
        registry.stop()


def test_it_logs_in_where_a_login_is_asked_for(start: Start) -> None:
    registry = Registry("--auth").start()
    try:
        start(registry, NACOS_USERNAME="nacos", NACOS_PASSWORD="nacos")
        eventually(lambda: registry.instances(NAME), "registered")
    finally:
        registry.stop()
