"""Somebody else's WebSocket, on both sides of the gateway.

serve               echoes; prints its port and how each visit was closed, until it is killed
visit URL [CA]      plays every exchange through the gateway; prints what it has played
"""

import asyncio
import itertools
import ssl
import sys

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

numbers = itertools.count(1)


def say(closed):
    print(f"visit {next(numbers)}: closed {closed}", flush=True)


async def echo(peer):
    try:
        async for message in peer:
            if isinstance(message, str) and message.startswith("close "):
                await peer.close(int(message.removeprefix("close ")), "as you wish")
                return
            if message == "in pieces":
                await peer.send(["in ", "three ", "pieces"])
            elif message == "ping":
                await asyncio.wait_for(await peer.ping(), 10)
                await peer.send("ponged")
            else:
                await peer.send(message)
        # The client's own code, for its next visit to ask for.
        say(peer.close_code)
    except websockets.ConnectionClosed as closed:
        say(closed.rcvd.code if closed.rcvd else "badly")


async def run_server():
    async with serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
        await asyncio.Event().wait()


async def visit(url, ca):
    context = None
    if ca:
        context = ssl.create_default_context(cafile=ca)
    options = {"ssl": context, "max_size": None, "proxy": None, "open_timeout": 10}
    if ca:
        options["server_hostname"] = "localhost"

    async with connect(url, subprotocols=["chat"], **options) as peer:
        assert peer.subprotocol == "chat"
        extensions = peer.response.headers.get("Sec-WebSocket-Extensions", "")
        assert "permessage-deflate" in extensions, extensions
        print("negotiated")
        for message in ["", "grüße", "x" * 100_000, b"\x00\xff", b"\x5a" * 1_048_576]:
            await peer.send(message)
            assert await peer.recv() == message
        print("exchanged")
        await peer.send(["frag", "men", "ted"])
        assert await peer.recv() == "fragmented"
        await peer.send([b"a" * 70_000, b"b" * 5])
        assert await peer.recv() == b"a" * 70_000 + b"b" * 5
        print("fragmented")
        for _ in range(3):
            await asyncio.wait_for(await peer.ping(), 10)
        print("pinged")
        await peer.close(4001, "enough")
        assert peer.close_code == 4001, peer.close_code
        print("closed by us")

    async with connect(url, subprotocols=["chat"], compression=None, **options) as peer:
        assert "Sec-WebSocket-Extensions" not in peer.response.headers
        await peer.send("plain")
        assert await peer.recv() == "plain"
        await peer.send("close 4321")
        try:
            await peer.recv()
            raise AssertionError("a message instead of the end")
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4321, "as you wish"), closed
        print("closed by them")


if sys.argv[1] == "serve":
    asyncio.run(run_server())
else:
    asyncio.run(visit(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
