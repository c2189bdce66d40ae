"""The HTTP side: what the service answers, and what happens when it starts and stops."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse

from . import __version__
from .live_config import LiveConfig
from .nacos_link import NacosLink
from .settings import Settings

USERS = {
    1: {"id": 1, "name": "Lin Huiyin"},
    2: {"id": 2, "name": "Liang Sicheng"},
    3: {"id": 3, "name": "Li Jie"},
}


class Line(JSONResponse):
    """JSON that ends its line, so that a terminal's prompt stands on the next one."""

    def render(self, content: Any) -> bytes:
        return super().render(content) + b"\n"


def create_app(settings: Settings) -> FastAPI:
    """Makes the application; Nacos is first spoken to when it starts."""
    live = LiveConfig()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            link = NacosLink(settings, live, Path(scratch), lambda: port_open(settings))
            async with httpx.AsyncClient(timeout=3.0) as http:
                app.state.link, app.state.http = link, http
                link.start()
                try:
                    yield
                finally:
                    await link.stop()
                    await link.close()

    app = FastAPI(
        title="User service",
        version=__version__,
        lifespan=lifespan,
        default_response_class=Line,
    )
    instance = f"{settings.service_ip}:{settings.service_port}"

    @app.get("/users/")
    async def list_users() -> dict[str, Any]:
        return {"users": list(USERS.values()), "instance": instance}

    @app.get("/users/{user_id}")
    async def show_user(user_id: int) -> dict[str, Any]:
        user = USERS.get(user_id)
        if user is None:
            raise HTTPException(404, f"no user {user_id}")
        return {**user, "instance": instance}

    @app.get("/health")
    async def health() -> dict[str, Any]:
        # Up whether or not Nacos answers: it is needed to be found, not to serve.
        link: NacosLink = app.state.link
        nacos = {"registered": link.registered, "error": link.last_error}
        return {"status": "up", "service": settings.service_name, "nacos": nacos}

    @app.get("/config")
    async def config() -> dict[str, Any]:
        view = live.view
        return {
            "data_id": settings.config_data_id,
            "group": settings.group,
            "present": view.present,
            "values": view.values,
            "error": view.error,
        }

    @app.get("/orders/{order_id}")
    async def show_order(order_id: int) -> dict[str, Any]:
        name = settings.order_service
        addresses = await app.state.link.addresses(name)
        if not addresses:
            raise HTTPException(503, f"no instance of {name}")
        try:
            url = f"http://{random.choice(addresses)}/orders/{order_id}"
            answer = (await app.state.http.get(url)).raise_for_status()
            return {"order": answer.json(), "instance": instance}
        except (httpx.HTTPError, ValueError):
            raise HTTPException(502, f"{name} gave no usable answer") from None

    return app


async def port_open(settings: Settings) -> None:
    """Returns once the service's own port accepts connections: a server starts the lifespan before
    it opens the port."""
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
    while True:
        try:
            _, writer = await asyncio.open_connection(host, settings.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
