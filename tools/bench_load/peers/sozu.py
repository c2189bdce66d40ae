"""sozu, with a frontend for each route."""

from pathlib import Path

from .peer import Installed, Site

CONFIGURATION = """\
command_socket = "{folder}/sozu.sock"
saved_state = "{folder}/state.json"
worker_count = {workers}
worker_automatic_restart = false
log_level = "{level}"
log_target = "file://{folder}/sozu.log"
{log}max_connections = 8192
buffer_size = 16393
min_buffers = 1
max_buffers = 20000
activate_listeners = true

[[listeners]]
protocol = "http"
address = "127.0.0.1:{port}"

[clusters.origin]
protocol = "http"
frontends = [
{frontends}]
backends = [ {{ address = "{origin}" }} ]
"""


class Sozu(Installed):
    """A main process, and a worker process for each worker."""

    name = "sozu"
    cure = "apt install protobuf-compiler, then cargo install --locked sozu"
    program = "sozu"
    version_command = ("sozu", "--version")

    def prepare(self, site: Site) -> list[str | Path]:
        listener = f'address = "127.0.0.1:{site.port}", hostname = "127.0.0.1"'
        frontends = "".join(f'  {{ {listener}, path = "{route}/" }},\n' for route in site.routes())
        access_log = f'access_logs_target = "file://{site.folder}/access.log"\n'
        text = CONFIGURATION.format(
            folder=site.folder,
            workers=site.setup.workers,
            # Below `info` there are no access logs.
            level="info" if site.setup.access_log else "error",
            log=access_log if site.setup.access_log else "",
            port=site.port,
            frontends=frontends,
            origin=site.origin,
        )
        return ["sozu", "--config", site.write("sozu.toml", text), "start"]
