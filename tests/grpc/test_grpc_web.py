"""gRPC-Web over HTTP/1.1, as browsers speak it, to a service of grpcio."""

import base64
import http.client
import struct
import time
from collections.abc import Iterator

import pytest

BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text"
TRAILERS = 0x80


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    while body:
        flag, length = struct.unpack(">BI", body[:5])
        yield flag, body[5 : 5 + length]
        body = body[5 + length :]


def decoded(text: bytes) -> bytes:
    """Groups of four letters, each of which may be filled up."""
    groups = [text[start : start + 4] for start in range(0, len(text), 4)]
    return b"".join(base64.b64decode(group, validate=True) for group in groups)


def call(
    gateway: str, method: str, content_type: str, message: bytes, **fields: str
) -> tuple[list[bytes], dict[str, str]]:
    """The messages and the trailers of a call."""
    body = framed(message)
    if content_type == TEXT:
        body = base64.b64encode(body)
    headers = {"content-type": content_type, "x-grpc-web": "1", **fields}
    connection = http.client.HTTPConnection(gateway, timeout=20)
    connection.request("POST", f"/web/test.Echo/{method}", body, headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    assert answer.headers["content-type"].startswith(content_type.split("+")[0])
    if content_type == TEXT:
        body = decoded(body)
    parts = list(frames(body))
    assert [flag for flag, _ in parts] == [0] * (len(parts) - 1) + [TRAILERS]
    lines = parts[-1][1].decode().splitlines()
    trailers = dict(line.split(": ", 1) for line in lines)
    return [message for _, message in parts[:-1]], trailers


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_unary_call_ends_with_its_trailers(gateway: str, content_type: str) -> None:
    for size in (0, 1, 2, 3, 100_000):
        messages, trailers = call(gateway, "Unary", content_type, b"m" * size)
        assert messages == [b"m" * size]
        assert trailers["grpc-status"] == "0"
        assert trailers["x-trailing"] == "yes"


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_server_streams(gateway: str, content_type: str) -> None:
    messages, trailers = call(gateway, "Server", content_type, b"200")
    assert messages == [str(number).encode() for number in range(200)]
    assert trailers["grpc-status"] == "0"


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
def test_a_failure_without_a_message_is_read_in_the_body(gateway: str, content_type: str) -> None:
    messages, trailers = call(gateway, "Fail", content_type, b"")
    assert (messages, trailers["grpc-status"]) == ([], "9")
    assert trailers["grpc-message"] == "not today"


def test_a_call_ends_at_its_deadline(gateway: str) -> None:
    began = time.monotonic()
    fields = {"grpc-timeout": "400m"}
    connection = http.client.HTTPConnection(gateway, timeout=20)
    headers = {"content-type": BINARY, **fields}
    connection.request("POST", "/web/test.Echo/Slow", framed(b""), headers)
    answer = connection.getresponse()
    body = answer.read()
    # Whoever is first says so: the gateway, or the service.
    assert answer.status == 504 or b"grpc-status: 4" in body
    assert time.monotonic() - began < 10
