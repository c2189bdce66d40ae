"""The HTTP interface."""

import pytest
from flask.testing import FlaskClient

from flask_api.registry import Registry
from flask_api.settings import Settings, SettingsError

from .conftest import FakeNacos


def test_items(client: FlaskClient) -> None:
    assert client.get("/items/1").json == {"id": 1, "name": "arch", "served_by": "flask-api"}
    missing = client.get("/items/9")
    assert missing.status_code == 404
    assert missing.json["detail"] == "there is no item 9"


def test_monitoring_shows_and_changes_the_own_registration(
    client: FlaskClient, fake: FakeNacos, registry: Registry
) -> None:
    registry.start()
    own = client.get("/monitoring/nacos/service").json
    assert own["registered"] is True
    assert own["instance"] == "10.0.0.9:8003"
    listed = client.get("/monitoring/nacos/service/flask-api/instances").json
    assert listed["instances"] == [{"ip": "10.0.0.9", "port": 8003}]

    assert client.post("/monitoring/nacos/service/deregister").json["registered"] is False
    assert fake.instances == {}
    assert client.get("/health").json == {"status": "up", "registered": False}
    assert client.post("/monitoring/nacos/service/register").json["registered"] is True
    assert len(fake.instances) == 1


def test_a_nacos_that_is_down_is_an_error_and_not_an_empty_list(
    client: FlaskClient, fake: FakeNacos
) -> None:
    fake.down = True
    answer = client.get("/monitoring/nacos/service/flask-api/instances")
    assert answer.status_code == 502
    assert "refused" in answer.json["detail"]
    assert client.post("/monitoring/nacos/service/register").status_code == 502


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NACOS_SERVICE_PORT", "http"),
        ("NACOS_SERVICE_PORT", "70000"),
        ("NACOS_HEARTBEAT_INTERVAL", "60"),
        ("NACOS_DEREGISTER_TIME", "-1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}={value}: expected a number"):
        Settings.from_environment({name: value})


def test_empty_variables_count_as_unset() -> None:
    settings = Settings.from_environment({"NACOS_SERVICE_PORT": "", "NACOS_SERVICE_IP": " "})
    assert settings.service_port == 8003
    assert settings.service_ip == "127.0.0.1", "the way to a server on loopback"
