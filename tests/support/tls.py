"""TLS as an operator with a certificate authority of its own has it: certificates made by openssl, and a front."""

import ssl
import subprocess
from pathlib import Path

from tests.support.programs import find
from tests.support.relay import Relay

NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


class Certificates:
    """The files of an authority, and of a certificate that it signed. That one serves servers and clients."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.authority, self.certificate, self.key = (folder / name for name in ("ca.pem", "local.pem", "local.key"))
        new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        sign = ["x509", "-req", "-in", "local.csr", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key"]
        for words in (
            [*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
            [*new, "-subj", "/CN=localhost", "-addext", NAMES, "-keyout", "local.key", "-out", "local.csr"],
            [*sign, "-copy_extensions", "copy", "-out", "local.pem"],
        ):
            command = [find("openssl") or "openssl", *words]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)

    @property
    def options(self) -> str:
        """The options of a URL with which a client trusts the authority, and shows the certificate."""
        return f"ssl_ca_certs={self.authority}&ssl_certfile={self.certificate}&ssl_keyfile={self.key}"


class Front(Relay):
    """Takes connections with TLS from clients with a certificate. The servers that the tests have speak no TLS."""

    def __init__(self, port: int, certificates: Certificates):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
        context.load_cert_chain(certificates.certificate, certificates.key)
        context.verify_mode = ssl.CERT_REQUIRED
        super().__init__(port, context)
