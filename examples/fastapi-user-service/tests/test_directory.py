"""Which instances are called, and what happens while Nacos does not answer."""

import asyncio

import httpx
import pytest

from user_service.directory import Directory

GOOD = {"ip": "10.0.0.1", "port": 80, "weight": 1.0, "enabled": True, "healthy": True}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeClient:
    """An SDK client that lists `hosts`, or fails when that is None."""

    def __init__(self, hosts: list[dict] | None) -> None:
        self.hosts = hosts
        self.calls = 0

    def list_naming_instance(self, service_name: str, group_name: str) -> dict:
        self.calls += 1
        if self.hosts is None:
            raise OSError("down")
        return {"hosts": self.hosts}


def addresses(directory: Directory) -> list[str]:
    return [instance.address for instance in asyncio.run(directory.instances("orders"))]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["10.0.0.1:80"]),
        ({"weight": 0.5}, ["10.0.0.1:80"]),
        ({"enabled": False}, []),
        ({"healthy": False}, []),
        ({"weight": 0.0}, []),
    ],
    ids=str,
)
def test_only_instances_that_may_be_called_are_kept(change: dict, expected: list[str]) -> None:
    directory = Directory(FakeClient([{**GOOD, **change}]), "DEFAULT_GROUP", httpx.AsyncClient())
    assert addresses(directory) == expected


def test_a_list_is_used_until_it_is_stale_and_kept_while_nacos_is_down() -> None:
    client, clock = FakeClient([GOOD]), Clock()
    directory = Directory(client, "DEFAULT_GROUP", httpx.AsyncClient(), 2.0, clock)
    assert addresses(directory) == ["10.0.0.1:80"]
    clock.now = 1.9
    assert addresses(directory) == ["10.0.0.1:80"]
    assert client.calls == 1

    client.hosts, clock.now = None, 2.1
    assert addresses(directory) == ["10.0.0.1:80"]
    assert client.calls == 2

    client.hosts, clock.now = [], 4.2
    assert addresses(directory) == [], "an empty list is believed, an error is not a list"
