"""TLS as an operator with a certificate authority of its own has it: certificates made by openssl, and a front."""

import asyncio
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Self

from tests.support.programs import find
from tests.support.servers import free_port

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


class Front:
    """Takes connections with TLS from clients with a certificate, and passes them on to ``port`` of this machine.

    The servers that the tests have speak no TLS themselves.
    """

    def __init__(self, port: int, certificates: Certificates):
        self.port, self._behind = free_port(), port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
        self._context.load_cert_chain(certificates.certificate, certificates.key)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.close()
            return
        await asyncio.wait(
            [asyncio.create_task(_copy(reader, onward[1])), asyncio.create_task(_copy(onward[0], writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        writer.close()
        onward[1].close()

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._pass_on, "127.0.0.1", self.port, ssl=self._context)
        asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side is gone
