"""What the environment may say."""

import pytest

from user_service.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("nacos", "nacos:8848"),
        ("http://nacos:18848/", "nacos:18848"),
        (" a:1, b ,", "a:1,b:8848"),
    ],
)
def test_server_addresses(given: str, read: str) -> None:
    env = {"NACOS_SERVER_ADDR": given, "NACOS_SERVICE_IP": "10.0.0.5"}
    assert Settings.from_env(env) == Settings(nacos_servers=read, service_ip="10.0.0.5")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NACOS_SERVER_ADDR", " , "),
        ("NACOS_SERVICE_PORT", "65536"),
        ("PORT", "http"),
        ("DRAIN_SECONDS", "soon"),
    ],
)
def test_an_unusable_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({name: value})


def test_the_port_of_a_kubernetes_service_named_nacos_is_not_ours() -> None:
    env = {"NACOS_SERVICE_HOST": "10.1.2.3", "NACOS_SERVICE_PORT": "8848", "PORT": "7000"}
    assert Settings.from_env(env).service_port == 7000
