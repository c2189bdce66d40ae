"""The service's entry in Nacos: made, kept alive by a thread, and taken out."""

import logging
import tempfile
import threading
from pathlib import Path
from typing import Any, Protocol

import nacos

from . import __version__
from .settings import Settings

log = logging.getLogger(__name__)

# The answer to a beat for an instance that the server does not know.
UNKNOWN_INSTANCE = 20404
# Not the SDK's default, which is sent as the text "None".
CLUSTER = "DEFAULT"

# The SDK logs each failure with a stack trace although it also raises it.
logging.getLogger("nacos").setLevel(logging.CRITICAL)


class Naming(Protocol):
    """The part of the SDK's client that is used here."""

    def add_naming_instance(self, *args: Any, **kwargs: Any) -> bool: ...
    def remove_naming_instance(self, *args: Any, **kwargs: Any) -> bool: ...
    def send_heartbeat(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...
    def list_naming_instance(self, *args: Any, **kwargs: Any) -> dict[str, Any]: ...


def connect(settings: Settings) -> nacos.NacosClient:
    """Makes a client. Nothing is sent yet, so this works while Nacos is down."""
    scratch = Path(tempfile.mkdtemp(prefix="flask-api-"))
    return nacos.NacosClient(
        settings.nacos_servers, namespace=settings.namespace, logDir=str(scratch / "log")
    )


class Registry:
    """Keeps one instance registered while it is wanted.

    The SDK sends no heartbeats by itself, and a server drops an instance 30 s after the last one.
    One thread sends them; when one fails, or the server does not know the instance (it was
    restarted), the instance is registered again.
    """

    def __init__(self, client: Naming, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        # Held for each call that changes the entry: a beat that overtook a deregistration would
        # bring the instance back.
        self._lock = threading.Lock()
        self._wanted = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.registered = False
        self.last_error: str | None = None

    def start(self) -> None:
        """Registers, and goes on trying and beating in the background."""
        self.register()
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._thread.start()

    def stop(self) -> None:
        """Takes the instance out and ends the heartbeats. Harmless when called again."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=self._settings.heartbeat_seconds)
        self.deregister()

    def register(self) -> bool:
        """Wants the instance to be registered; whether it is now."""
        with self._lock:
            self._wanted = True
            self._keep()
            return self.registered

    def deregister(self) -> bool:
        """Takes the instance out until it is registered again; whether the server has done so."""
        with self._lock:
            self._wanted = False
            if not self.registered:
                return True
            self.registered = False
            try:
                self._client.remove_naming_instance(**self._identity())
            except Exception as error:  # the SDK raises whatever urllib does
                log.warning("deregistration failed, the entry expires by itself: %s", error)
                return False
            log.info("deregistered %s", self._settings.service_name)
            return True

    def instances(self, service: str) -> list[dict[str, Any]]:
        """The instances of a service as the server lists them.

        Raises whatever the SDK raises when the server cannot be asked.
        """
        answer = self._client.list_naming_instance(
            service, namespace_id=self._settings.namespace or None, group_name=self._settings.group
        )
        return list(answer.get("hosts") or [])

    def status(self) -> dict[str, Any]:
        """What is known of the entry."""
        return {
            "service": self._settings.service_name,
            "group": self._settings.group,
            "namespace": self._settings.namespace,
            "instance": f"{self._settings.service_ip}:{self._settings.service_port}",
            "registered": self.registered,
            "last_error": self.last_error,
        }

    def _beat(self) -> None:
        while not self._ended.wait(self._settings.heartbeat_seconds):
            with self._lock:
                if self._wanted:
                    self._keep()

    def _keep(self) -> None:
        try:
            if self.registered:
                answer = self._client.send_heartbeat(**self._identity(), **self._details())
                self.registered = answer.get("code") != UNKNOWN_INSTANCE
            if not self.registered:
                self.registered = bool(
                    self._client.add_naming_instance(**self._identity(), **self._details())
                )
                log.info("registered %s", self._settings.service_name)
            self.last_error = None
        except Exception as error:  # the SDK raises whatever urllib does
            if self.last_error is None:
                log.warning("Nacos cannot be reached, trying again: %s", error)
            self.last_error = str(error)

    def _identity(self) -> dict[str, Any]:
        return {
            "service_name": self._settings.service_name,
            "ip": self._settings.service_ip,
            "port": self._settings.service_port,
            "cluster_name": CLUSTER,
            "group_name": self._settings.group,
        }

    def _details(self) -> dict[str, Any]:
        return {"weight": 1.0, "metadata": {"version": __version__, "framework": "flask"}}
