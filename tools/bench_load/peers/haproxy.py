"""HAProxy, with its routes in a map of path prefixes."""

from pathlib import Path

from .peer import Installed, Site

CONFIGURATION = """\
global
    nbthread {workers}
    maxconn 8192
{log}
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
{log_line}
frontend data
    bind 127.0.0.1:{port}{tls}
    option forwardfor
    unique-id-format %[uuid()]
    unique-id-header X-Request-Id
    http-request set-header X-Forwarded-Proto {scheme}
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    use_backend %[path,map_beg({folder}/routes.map)]

backend origin
    http-reuse always
    server origin {origin} pool-max-conn 4096
"""


class HAProxy(Installed):
    """One process; its workers are threads."""

    name = "haproxy"
    cure = "apt install haproxy"
    protocols = ("http", "https", "h2")
    program = "haproxy"
    version_command = ("haproxy", "-v")

    def prepare(self, site: Site) -> list[str | Path]:
        site.write("routes.map", "".join(f"{route}/ origin\n" for route in site.routes()))
        log = site.setup.access_log
        text = CONFIGURATION.format(
            workers=site.setup.workers,
            log="    log stdout format raw local0\n" if log else "",
            log_line="    log global\n    option httplog\n" if log else "",
            folder=site.folder,
            port=site.port,
            tls=tls(site),
            scheme="http" if site.certificate is None else "https",
            origin=site.origin,
        )
        return ["haproxy", "-db", "-f", site.write("haproxy.cfg", text)]


def tls(site: Site) -> str:
    if site.certificate is None:
        return ""
    return f" ssl crt {site.certificate.both()} alpn h2,http/1.1"
