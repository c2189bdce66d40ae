"""What the service answers."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from .conftest import Service, eventually, free_port
from .fake_nacos import FakeNacos

DATA_ID = "fastapi-user-service.json"


class OrderService(BaseHTTPRequestHandler):
    """Knows order 7; order 500 breaks it, order 1000 makes it answer nonsense."""

    def do_GET(self) -> None:
        status, body = {
            "/orders/7": (200, json.dumps({"id": 7})),
            "/orders/500": (500, "broken"),
            "/orders/1000": (200, "no JSON"),
        }.get(self.path, (404, "{}"))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def orders() -> Iterator[int]:
    """The port of a running order service."""
    server = HTTPServer(("127.0.0.1", 0), OrderService)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_users_name_the_instance_that_answered(service: Service) -> None:
    instance = f"127.0.0.1:{service.port}"
    assert service.json("/users/2") == {"id": 2, "name": "Liang Sicheng", "instance": instance}
    listed = service.json("/users/")
    assert [user["id"] for user in listed["users"]] == [1, 2, 3]
    assert listed["instance"] == instance


@pytest.mark.parametrize(("path", "status"), [("/users/99", 404), ("/users/x", 422)])
def test_users_that_do_not_exist(service: Service, path: str, status: int) -> None:
    assert service.http.get(path).status_code == status


def test_the_config_follows_nacos(service: Service, nacos: FakeNacos) -> None:
    assert service.json("/config") == {
        "data_id": DATA_ID,
        "group": "DEFAULT_GROUP",
        "present": False,
        "values": None,
        "error": None,
    }
    nacos.publish(DATA_ID, '{"greeting": "hello"}')
    eventually(lambda: service.json("/config")["values"] == {"greeting": "hello"}, "created")
    nacos.publish(DATA_ID, '{"greeting": "good day"}')
    eventually(lambda: service.json("/config")["values"] == {"greeting": "good day"}, "changed")
    nacos.publish(DATA_ID, "{")
    eventually(lambda: service.json("/config")["error"], "the bad content is shown")
    assert service.json("/config")["values"] == {"greeting": "good day"}, "the last good one stays"
    nacos.publish(DATA_ID, None)
    eventually(lambda: not service.json("/config")["present"], "removed")


def test_a_config_that_is_there_at_the_start(
    start: Callable[..., Service], nacos: FakeNacos
) -> None:
    nacos.publish(DATA_ID, '{"limit": 3}')
    service = start()
    eventually(lambda: service.json("/config")["values"] == {"limit": 3}, "read")


def test_an_outage_does_not_look_like_a_removed_config(service: Service, nacos: FakeNacos) -> None:
    nacos.publish(DATA_ID, '{"limit": 3}')
    eventually(lambda: service.json("/config")["present"], "read")
    nacos.stop()
    eventually(lambda: service.json("/health")["nacos"]["error"], "the failure is shown")
    assert service.json("/config")["values"] == {"limit": 3}


@pytest.mark.parametrize(
    ("order", "status", "body"),
    [
        (7, 200, {"id": 7}),
        (8, 404, "no order 8"),
        (500, 502, "order-service gave no usable answer"),
        (1000, 502, "order-service gave no usable answer"),
    ],
)
def test_orders_come_from_the_order_service(
    service: Service, nacos: FakeNacos, orders: int, order: int, status: int, body: object
) -> None:
    nacos.put_instance("order-service", orders)
    answer = service.http.get(f"/orders/{order}")
    assert answer.status_code == status
    assert answer.json()["order" if status == 200 else "detail"] == body


def test_orders_without_an_order_service(service: Service) -> None:
    answer = service.http.get("/orders/7")
    assert (answer.status_code, answer.json()["detail"]) == (503, "no instance of order-service")


def test_a_dead_instance_is_passed_over(service: Service, nacos: FakeNacos, orders: int) -> None:
    nacos.put_instance("order-service", orders)
    nacos.put_instance("order-service", free_port(), weight=1000.0)
    for _ in range(5):
        assert service.http.get("/orders/7").status_code == 200


def test_when_every_instance_is_dead_it_is_a_bad_gateway(
    service: Service, nacos: FakeNacos
) -> None:
    nacos.put_instance("order-service", free_port())
    assert service.http.get("/orders/7").status_code == 502
