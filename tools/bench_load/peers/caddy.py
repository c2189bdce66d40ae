"""Caddy, with a handle block for each route."""

from pathlib import Path

from .peer import Installed, Site

CONFIGURATION = """\
{{
    admin off
    auto_https off
}}
(origin) {{
    reverse_proxy {origin} {{
        header_up X-Request-Id {{http.request.uuid}}
        transport http {{
            keepalive_idle_conns 4096
            keepalive_idle_conns_per_host 4096
            compression off
        }}
    }}
}}
{scheme}://127.0.0.1:{port}, {scheme}://localhost:{port} {{
    bind 127.0.0.1
{tls}{log}{routes}}}
"""


class Caddy(Installed):
    """Its workers are the threads that Go may run at once."""

    name = "caddy"
    cure = "apt install caddy"
    protocols = ("http", "https", "h2")
    program = "caddy"
    version_command = ("caddy", "version")

    def prepare(self, site: Site) -> list[str | Path]:
        routes = "".join(
            f"    handle {route}/* {{\n        import origin\n    }}\n" for route in site.routes()
        )
        log = "    log {\n        output file access.log\n    }\n" if site.setup.access_log else ""
        shown = site.certificate
        scheme, tls = "http", ""
        if shown is not None:
            scheme, tls = "https", f"    tls {shown.cert} {shown.key}\n"
        text = CONFIGURATION.format(
            port=site.port, scheme=scheme, tls=tls, log=log, routes=routes, origin=site.origin
        )
        file = site.write("Caddyfile", text)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", file]

    def env(self, site: Site) -> dict[str, str]:
        home = str(site.folder)
        return {"GOMAXPROCS": str(site.setup.workers), "HOME": home, "XDG_DATA_HOME": home}
