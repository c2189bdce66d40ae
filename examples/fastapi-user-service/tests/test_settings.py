"""What the environment may say."""

import pytest

from user_service.settings import Settings, SettingsError


def test_defaults() -> None:
    settings = Settings.from_env({"NACOS_SERVICE_IP": "10.0.0.5"})
    assert settings == Settings(service_ip="10.0.0.5")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("nacos", "nacos:8848"),
        ("nacos:18848", "nacos:18848"),
        ("http://nacos", "http://nacos:8848"),
        ("http://nacos:1/", "http://nacos:1"),
        (" a:1, b ,", "a:1,b:8848"),
    ],
)
def test_server_addresses(given: str, read: str) -> None:
    env = {"NACOS_SERVER_ADDR": given, "NACOS_SERVICE_IP": "10.0.0.5"}
    assert Settings.from_env(env).nacos_servers == read


@pytest.mark.parametrize(("given", "read"), [("5", 5.0), ("2s", 2.0), ("0.5", 0.5)])
def test_heartbeat_intervals(given: str, read: float) -> None:
    assert Settings.from_env({"NACOS_HEARTBEAT_INTERVAL": given}).heartbeat_seconds == read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NACOS_SERVER_ADDR", " , "),
        ("NACOS_HEARTBEAT_INTERVAL", "soon"),
        ("NACOS_HEARTBEAT_INTERVAL", "0"),
        ("NACOS_HEARTBEAT_INTERVAL", "-1"),
        ("NACOS_HEARTBEAT_INTERVAL", "11"),
        ("NACOS_HEARTBEAT_INTERVAL", "nan"),
        ("NACOS_SERVICE_PORT", "0"),
        ("NACOS_SERVICE_PORT", "65536"),
        ("PORT", "http"),
    ],
)
def test_an_unusable_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({name: value})


def test_the_advertised_port_is_the_listening_one_unless_told() -> None:
    assert Settings.from_env({"PORT": "7000"}).service_port == 7000
    assert Settings.from_env({"PORT": "7000", "NACOS_SERVICE_PORT": "80"}).service_port == 80


def test_the_port_of_a_kubernetes_service_named_nacos_is_not_ours() -> None:
    env = {"NACOS_SERVICE_HOST": "10.1.2.3", "NACOS_SERVICE_PORT": "8848", "PORT": "7000"}
    assert Settings.from_env(env).service_port == 7000


def test_the_public_namespace_has_the_empty_id() -> None:
    assert Settings.from_env({"NACOS_NAMESPACE": "public"}).namespace == ""


def test_the_advertised_address_is_found_when_not_given() -> None:
    assert Settings.from_env({"NACOS_SERVER_ADDR": "127.0.0.1:8848"}).service_ip == "127.0.0.1"
