"""A TCP proxy before PostgreSQL's socket, in which the network can fail."""

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Self

# In reads of 64 KiB at most, in each direction of a connection.
MOST_UNDER_WAY = 1000


class Proxy:
    """Forwards connections from a port of its own, until it is told to hang.

    While it hangs it takes connections and bytes, acknowledges them as the kernel
    does, and says nothing: no keep-alive and no TCP timeout can tell.
    """

    def __init__(self, target: Path | str) -> None:
        self.target = target
        self.port = 0
        # How much later everything arrives, in each direction.
        self.delay_s = 0.0
        self.writers: set[asyncio.StreamWriter] = set()
        self.is_up = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.listen()))

    def __enter__(self) -> Self:
        self.thread.start()
        assert self.is_up.wait(10), "the proxy does not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.is_over.set)
        self.thread.join(10)

    async def listen(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_over, self.forwards = asyncio.Event(), asyncio.Event()
        self.forwards.set()
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.is_up.set()
        await self.is_over.wait()
        server.close()
        self.forwards.set()
        while self.writers:
            self.cut()
            await asyncio.sleep(0.02)

    def hang(self) -> None:
        self.loop.call_soon_threadsafe(self.forwards.clear)

    def resume(self) -> None:
        self.loop.call_soon_threadsafe(self.forwards.set)

    def drop(self) -> None:
        """Cut every connection, and forward the next ones."""
        self.loop.call_soon_threadsafe(self.cut)
        self.resume()

    def cut_off(self) -> None:
        """Cut every connection, and go on hanging: what was taken goes nowhere."""
        self.loop.call_soon_threadsafe(self.cut)

    def cut(self) -> None:
        for writer in list(self.writers):
            writer.transport.abort()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.writers.add(writer)
        try:
            await self.forwards.wait()
            their_reader, their_writer = await asyncio.open_unix_connection(self.target)
            self.writers.add(their_writer)
            await asyncio.gather(
                self.pump(reader, their_writer), self.pump(their_reader, writer)
            )
            self.writers.discard(their_writer)
        except OSError:
            writer.transport.abort()
        finally:
            self.writers.discard(writer)

    async def pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Forward one direction to its end."""
        # What is on its way, however much, arrives as long after it was sent.
        on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_UNDER_WAY)
        delivery = asyncio.create_task(self.deliver(on_its_way, writer))
        try:
            while data := await reader.read(65536):
                await on_its_way.put((self.loop.time(), data))
            await on_its_way.put((self.loop.time(), b""))
            await delivery
        except OSError:
            pass
        finally:
            delivery.cancel()
            writer.close()

    async def deliver(
        self,
        on_its_way: "asyncio.Queue[tuple[float, bytes]]",
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                sent_at, data = await on_its_way.get()
                await asyncio.sleep(sent_at + self.delay_s - self.loop.time())
                await self.forwards.wait()
                if not data:
                    return
                writer.write(data)
                await writer.drain()
