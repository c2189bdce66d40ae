"""`python -m user_service`: serves until SIGTERM or Ctrl-C."""

import asyncio
import logging
import os
import socket
import sys

import uvicorn

from .app import create_app
from .settings import Settings, SettingsError


class Server(uvicorn.Server):
    """Leaves Nacos before the port closes.

    uvicorn stops accepting first and ends the lifespan afterwards; until callers have heard of the
    deregistration, their requests would be refused.
    """

    def __init__(self, config: uvicorn.Config, drain_seconds: float) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        link = self.config.app.state.link
        was_registered = link.registered
        await link.stop()
        if was_registered:
            await asyncio.sleep(self._drain_seconds)
        await super().shutdown(sockets)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        print(f"user-service: {error}", file=sys.stderr)
        return 2
    app = create_app(settings)
    config = uvicorn.Config(app, host=settings.host, port=settings.port, log_config=None)
    Server(config, settings.drain_seconds).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
