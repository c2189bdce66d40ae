"""The HTTP interface: a small resource, health, and what Nacos knows."""

from typing import Any

from flask import Flask, abort, jsonify
from werkzeug.exceptions import HTTPException

from .registry import Registry
from .settings import Settings

ITEMS = {1: "arch", 2: "bridge", 3: "gate"}


def create_app(settings: Settings, registry: Registry) -> Flask:
    """Makes the application. The registry is started by whoever serves it."""
    app = Flask("flask_api")

    @app.errorhandler(HTTPException)
    def problem(error: HTTPException) -> tuple[Any, int]:
        return jsonify(error=error.name, detail=error.description), error.code or 500

    @app.get("/items/<int:number>")
    def item(number: int) -> Any:
        if number not in ITEMS:
            abort(404, description=f"there is no item {number}")
        return jsonify(id=number, name=ITEMS[number], served_by=settings.service_name)

    @app.get("/health")
    def health() -> Any:
        return jsonify(status="up", registered=registry.registered)

    @app.get("/monitoring/nacos/service")
    def service() -> Any:
        return jsonify(registry.status())

    @app.get("/monitoring/nacos/service/<name>/instances")
    def instances(name: str) -> Any:
        try:
            found = registry.instances(name)
        except Exception as error:  # the SDK raises whatever urllib does
            # A server that cannot be asked is not a service without instances.
            abort(502, description=f"Nacos cannot be asked: {error}")
        return jsonify(service=name, instances=found)

    @app.post("/monitoring/nacos/service/register")
    def register() -> Any:
        done = registry.register()
        return jsonify(registry.status()), 200 if done else 502

    @app.post("/monitoring/nacos/service/deregister")
    def deregister() -> Any:
        done = registry.deregister()
        return jsonify(registry.status()), 200 if done else 502

    return app
