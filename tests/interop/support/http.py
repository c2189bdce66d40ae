"""Single HTTP requests, without the proxies that the environment may name."""

import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """A complete answer of any status."""

    status: int
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


def request(
    method: str, url: str, form: dict[str, object] | None = None, timeout: float = 5.0
) -> Answer:
    """Sends `form` in the body of a POST and in the query of every other method."""
    data = None
    if form is not None:
        text = urllib.parse.urlencode(form)
        if method == "POST":
            data = text.encode()
        else:
            url += ("&" if "?" in url else "?") + text
    sent = urllib.request.Request(url, data, method=method)
    try:
        with _OPENER.open(sent, timeout=timeout) as answer:
            return Answer(answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode(errors="replace"))


def get(url: str) -> Answer:
    return request("GET", url)


def status(url: str) -> int:
    """The status of a GET, 0 when there is no answer."""
    try:
        return get(url).status
    except OSError:
        return 0
