"""A relay before a server. Its connections can die as on a network that drops their packets: nobody is told."""

import asyncio
import contextlib
import ssl
import threading
from typing import Self

from tests.support.servers import free_port


class Relay:
    """Takes connections, with TLS if there is a ``context``, and passes them on to ``behind`` of this machine."""

    def __init__(self, behind: int, context: ssl.SSLContext | None = None):
        self.port, self._behind, self._context = free_port(), behind, context
        self._lost = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def lose(self) -> None:
        """From now on nothing passes through the open connections. They stay open; new ones work."""
        self._lost.set()
        self._lost = threading.Event()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lost = self._lost
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._behind)
        except OSError:
            writer.close()
            return
        ways = [asyncio.create_task(_copy(*way, lost)) for way in ((reader, onward[1]), (onward[0], writer))]
        with contextlib.suppress(asyncio.CancelledError):  # the relay ends
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        writer.close()
        onward[1].close()

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._pass_on, "127.0.0.1", self.port, ssl=self._context)
        asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    async def _close(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: threading.Event) -> None:
    try:
        while data := await reader.read(65_536):
            if not lost.is_set():
                writer.write(data)
                await writer.drain()
    except OSError:
        pass  # one side is gone
