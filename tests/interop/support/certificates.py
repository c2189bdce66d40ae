"""Certificates for one run: an authority, and what it vouches for."""

import subprocess
from pathlib import Path

SERVER_NAME = "nacos.interop"


class Certificates:
    """PEM files of an authority, a server named `SERVER_NAME` and a client."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.authority = folder / "authority.pem"
        new = ["req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2"]
        self._openssl(*new, "-keyout", "authority.key", "-out", "authority.pem", "-subj", "/CN=ca")
        self.server, self.server_key = self._issue("server", f"DNS:{SERVER_NAME}")
        self.client, self.client_key = self._issue("client", "DNS:gateway.interop")

    def _issue(self, name: str, subject: str) -> tuple[Path, Path]:
        (self._folder / f"{name}.ext").write_text(f"subjectAltName={subject}\n")
        key = ["req", "-nodes", "-newkey", "rsa:2048", "-subj", f"/CN={name}"]
        self._openssl(*key, "-keyout", f"{name}.key", "-out", f"{name}.csr")
        sign = ["x509", "-req", "-days", "2", "-CA", "authority.pem", "-CAkey", "authority.key"]
        files = ["-in", f"{name}.csr", "-extfile", f"{name}.ext", "-out", f"{name}.pem"]
        self._openssl(*sign, "-CAcreateserial", *files)
        return self._folder / f"{name}.pem", self._folder / f"{name}.key"

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *arguments]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True)
