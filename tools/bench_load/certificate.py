"""A certificate that all proxies show, so that their handshakes cost the same: ECDSA on P-256."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from .process import Failed


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    cert: Path
    key: Path

    def both(self) -> Path:
        """One file with certificate and key, as HAProxy reads it."""
        file = self.cert.with_name("both.pem")
        file.write_text(self.cert.read_text() + self.key.read_text())
        return file


def make(folder: Path) -> Certificate:
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=bench", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-out", str(made.cert), "-keyout", str(made.key)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Failed("--protocols: openssl makes the certificate: apt install openssl") from error
    if done.returncode != 0:
        raise Failed(f"openssl made no certificate: {done.stderr.strip()[-500:]}")
    return made
