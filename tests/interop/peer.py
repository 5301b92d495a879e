"""The other side, made of python3-websockets: `serve [CERT KEY]` prints its port and echoes; `client URL [CA]` checks our echo."""
import asyncio
import ssl
import sys

import websockets

PROTOCOL = "klystrr.agent.v1"


async def echo(ws, *_):
    async for message in ws:
        await ws.send(message)


async def serve(files):
    context = None
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
    async with websockets.serve(echo, "127.0.0.1", 0, subprotocols=[PROTOCOL], ssl=context, max_size=1 << 20) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(port, flush=True)
        await asyncio.Future()


async def client(url, ca):
    context = ssl.create_default_context(cafile=ca) if ca else None
    async with websockets.connect(url, subprotocols=["other", PROTOCOL], ssl=context, max_size=1 << 20, compression="deflate") as ws:
        assert ws.subprotocol == PROTOCOL, ws.subprotocol
        for message in ["grüß dich", "", b"\x00\xff" * 100000, "x" * 125, "x" * 126, "x" * 65535, "x" * 65536]:
            await ws.send(message)
            back = await ws.recv()
            assert back == message, "another echo"
        await ws.send(["in ", "three ", "pieces"])
        assert await ws.recv() == "in three pieces"
        await asyncio.wait_for(await ws.ping(), 10)
    assert ws.close_code == 1000, ws.close_code


if sys.argv[1] == "serve":
    asyncio.run(serve(sys.argv[2:4]))
else:
    asyncio.run(client(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
