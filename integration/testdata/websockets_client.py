"""A client of python3-websockets: URL CA-FILE. It ends with 0 when all is well."""

import asyncio
import os
import ssl
import sys

import websockets
from websockets.exceptions import ConnectionClosed

url, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca) if url.startswith("wss:") else None


def connect():
    return websockets.connect(url, ssl=context, subprotocols=["chat.v3", "chat.v1"], max_size=None)


async def exchange():
    async with connect() as ws:
        assert ws.subprotocol == "chat.v1", ws.subprotocol
        assert "permessage-deflate" in ws.response_headers["Sec-WebSocket-Extensions"], ws.response_headers
        for message in [
            "hello",
            "",
            b"",
            "wörld \N{SNOWMAN}",
            bytes(range(256)),
            "compressible " * 100_000,
            os.urandom(1 << 20),
        ]:
            await ws.send(message)
            assert await ws.recv() == message
        await ws.send(["frag", "men", "ted"])
        assert await ws.recv() == "fragmented"
        await (await ws.ping(b"payload"))
        await ws.close(4001, "client's reason")
        assert (ws.close_code, ws.close_reason) == (4001, "client's reason"), (ws.close_code, ws.close_reason)


async def closed_by_server():
    async with connect() as ws:
        await ws.send("close 4002 server's reason")
        try:
            await ws.recv()
        except ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (4002, "server's reason"), end
        else:
            raise AssertionError("the session is still open")


asyncio.run(exchange())
asyncio.run(closed_by_server())
