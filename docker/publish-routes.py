"""Publishes a first route document to Nacos, unless there is one: publish-routes.py SERVER FILE."""

import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

NAME = {"dataId": "pailou-routes.yaml", "group": "DEFAULT_GROUP"}
RETRY_SECONDS = 2.0


def publish_once(server: str, content: str) -> str:
    """Says what was done; an `OSError` when the server is not ready yet."""
    url = f"http://{server}/nacos/v1/cs/configs"
    try:
        urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(NAME)}", timeout=5).close()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
    else:
        return "there are routes already, they stay"
    form = urllib.parse.urlencode({**NAME, "type": "yaml", "content": content}).encode()
    with urllib.request.urlopen(url, form, timeout=5) as answer:
        if answer.read() != b"true":
            raise OSError("Nacos did not take the routes")
    return "the routes are published"


def main() -> None:
    server, file = sys.argv[1:]
    content = Path(file).read_text()
    while True:
        try:
            print(publish_once(server, content), flush=True)
            return
        except OSError as error:
            print(f"Nacos at {server} is not ready: {error}", flush=True)
            time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    main()
