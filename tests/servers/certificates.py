"""A certificate authority for one server, and the certificate it gave that server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import find_program, run

NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


@dataclass(frozen=True)
class Certificates:
    """Files. Clients that are to trust the server need the authority."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    openssl = find_program("openssl", "openssl")
    authority, authority_key = folder / "authority.crt", folder / "authority.key"
    made = Certificates(authority, folder / "server.crt", folder / "server.key")

    def certify(subject: str, certificate: Path, key: Path, *options: str) -> None:
        files = ("-out", str(certificate), "-keyout", str(key))
        # An empty configuration: Debian's own would add extensions that are not for a server.
        asked = ("-config", "/dev/null", "-subj", f"/CN={subject}", "-days", "2")
        run(openssl, "req", "-x509", *asked, *NEW_KEY, *files, *options)

    # Python from 3.13 on refuses an authority that does not say what its key may do.
    usages = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    certify("authority", authority, authority_key, *_extensions(*usages))
    issuer = ("-CA", str(authority), "-CAkey", str(authority_key))
    certify(
        "localhost",
        made.certificate,
        made.key,
        *issuer,
        *_extensions(NAMES, "basicConstraints=critical,CA:FALSE", "authorityKeyIdentifier=keyid"),
    )
    return made


def _extensions(*extensions: str) -> list[str]:
    return [word for extension in extensions for word in ("-addext", extension)]
