"""The service's Nacos config as it is now."""

import json
import logging
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ConfigView:
    """One state of the config; replaced as a whole."""

    present: bool = False
    values: Any = None
    """The last content that was valid JSON; it stays when a later one is not."""
    error: str | None = None


class LiveConfig:
    """Holds the last good content and says what is wrong with a later one."""

    def __init__(self) -> None:
        self.view = ConfigView()

    def changed(self, content: str | None) -> None:
        """Takes a new content. The SDK says of a config that does not exist that it is empty."""
        if not content:
            self.view = ConfigView()
            return
        try:
            self.view = ConfigView(present=True, values=json.loads(content))
        except json.JSONDecodeError as error:
            self.view = ConfigView(present=True, values=self.view.values, error=str(error))
            log.warning("the config is not JSON, the last good one stays: %s", error)
