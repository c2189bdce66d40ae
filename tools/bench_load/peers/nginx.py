"""nginx, with a prefix location for each route."""

from pathlib import Path

from .peer import Installed, Site

CONFIGURATION = """\
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log {access_log};
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    tcp_nodelay on;
    upstream origin {{
        server {origin};
        keepalive 4096;
        keepalive_requests 1000000000;
    }}
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_max_temp_file_size 0;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Request-Id $request_id;
    server {{
        listen 127.0.0.1:{port} backlog=4096{tls};
{locations}    }}
}}
"""


class Nginx(Installed):
    """Bodies go through without a file between, as they do in the others."""

    name = "nginx"
    cure = "apt install nginx-light"
    protocols = ("http", "https", "h2")
    program = "nginx"
    version_command = ("nginx", "-v")

    def prepare(self, site: Site) -> list[str | Path]:
        locations = "".join(
            f"        location {route}/ {{ proxy_pass http://origin; }}\n"
            for route in site.routes()
        )
        text = CONFIGURATION.format(
            workers=site.setup.workers,
            folder=site.folder,
            access_log=site.folder / "access.log" if site.setup.access_log else "off",
            origin=site.origin,
            port=site.port,
            tls=tls(site),
            locations=locations,
        )
        file = site.write("nginx.conf", text)
        return ["nginx", "-e", site.folder / "error.log", "-c", file]


def tls(site: Site) -> str:
    """The rest of the line `listen`, and what a TLS listener reads."""
    if site.certificate is None:
        return ""
    http2 = " http2" if site.setup.protocol == "h2" else ""
    shown = site.certificate
    return (
        f" ssl{http2}; ssl_certificate {shown.cert}; ssl_certificate_key {shown.key}; "
        "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:bench:10m"
    )
