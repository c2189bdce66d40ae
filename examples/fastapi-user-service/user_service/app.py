"""The HTTP side: what the service answers, and what happens when it starts and stops."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from . import __version__, nacos_client
from .directory import Directory, NoInstance, Unreachable
from .live_config import LiveConfig
from .registration import Registration
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

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The config watch ends a moment after this and may still write.
        scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        client = nacos_client.connect(settings, Path(scratch.name))
        watch = nacos_client.ConfigWatch(client, settings.config_data_id, settings.group)
        # A server starts the lifespan before it opens the port, so registering right here would
        # announce a port where nobody answers yet.
        registration = Registration(client, settings, lambda: port_open(settings))
        async with httpx.AsyncClient(timeout=3.0) as http:
            app.state.config = LiveConfig()
            app.state.directory = Directory(client, settings.group, http)
            app.state.registration = registration
            watch.start(app.state.config.changed)
            registration.start()
            try:
                yield
            finally:
                watch.stop()
                await registration.stop()
                scratch.cleanup()

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
    async def health(request: Request) -> dict[str, Any]:
        # Up whether or not Nacos answers: it is needed to be found, not to serve.
        registration: Registration = request.app.state.registration
        nacos = {"registered": registration.registered, "error": registration.last_error}
        return {"status": "up", "service": settings.service_name, "nacos": nacos}

    @app.get("/config")
    async def config(request: Request) -> dict[str, Any]:
        view = request.app.state.config.view
        return {
            "data_id": settings.config_data_id,
            "group": settings.group,
            "present": view.present,
            "values": view.values,
            "error": view.error,
        }

    @app.get("/orders/{order_id}")
    async def show_order(order_id: int, request: Request) -> dict[str, Any]:
        directory: Directory = request.app.state.directory
        try:
            answer = await directory.get(settings.order_service, f"/orders/{order_id}")
        except NoInstance:
            raise HTTPException(503, f"no instance of {settings.order_service}") from None
        except Unreachable:
            raise HTTPException(502, f"{settings.order_service} cannot be reached") from None
        if answer.status_code == 404:
            raise HTTPException(404, f"no order {order_id}")
        try:
            order = answer.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError):
            raise HTTPException(502, f"{settings.order_service} gave no usable answer") from None
        return {"order": order, "instance": instance}

    return app


async def port_open(settings: Settings) -> None:
    """Returns once the service's own port accepts connections."""
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host
    while True:
        try:
            _, writer = await asyncio.open_connection(host, settings.port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
