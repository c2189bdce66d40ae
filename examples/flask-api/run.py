"""Runs the sample: serves, registers, and leaves Nacos before it closes its port."""

import logging
import os
import signal
import sys
import threading

import waitress

from flask_api.app import create_app
from flask_api.registry import Registry, connect
from flask_api.settings import Settings, SettingsError

log = logging.getLogger("flask_api")


def main() -> int:
    # Forced, since the SDK sets up logging of its own when it is imported.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(f"flask-api: {error}", file=sys.stderr)
        return 2
    registry = Registry(connect(settings), settings)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    # Bound before it registers: nobody is sent to a port that is closed.
    server = waitress.create_server(
        create_app(settings, registry), host="0.0.0.0", port=settings.service_port
    )
    serving = threading.Thread(target=server.run, daemon=True, name="serve")
    serving.start()
    registry.start()
    log.info("%s serves on port %s", settings.service_name, settings.service_port)

    stopping.wait()
    registry.stop()
    # Callers that have not heard of it yet still find an open door.
    threading.Event().wait(settings.deregister_seconds)
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
