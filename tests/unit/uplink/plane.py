#!/usr/bin/python3
"""plane.py FOLDER: a small control plane for tests, written from proto/wire.md alone: Python's ssl, python3-websockets'
frames, openssl's certificates.

FOLDER holds ca.pem ca.key server.pem server.key token.sha256; streams are kept in FOLDER/streams. Says what happens as
lines on stdout, the first is the port, and takes commands as lines on stdin:

    text JSON         send this text message to every host        binary HEX     send these bytes
    drop              cut every connection                        mute           accept, then never answer
    days N            life of certificates issued from now on     reject STATUS  answer the WebSocket handshake so; 0: no more
    heartbeat S       for welcomes to come                        ping           answer pong on stdout
    slow MS           wait so long before each ack
"""
import asyncio
import hashlib
import json
import os
import ssl
import struct
import subprocess
import sys
import tempfile

try:
    from websockets.server import ServerProtocol as Protocol
except ImportError:
    from websockets.server import ServerConnection as Protocol
from websockets.frames import OP_BINARY, OP_TEXT

FOLDER = sys.argv[1]
HOSTS = set()
SET = {"mute": False, "days": 90, "reject": 0, "heartbeat": 20, "slow": 0, "connections": 0}
EPOCH = "ab" * 16


def say(happened, /, **more):
    print(json.dumps({"event": happened, **more}), flush=True)


def path(name):
    return os.path.join(FOLDER, name)


def stream_path(name):
    return os.path.join(FOLDER, "streams", name.replace("/", "_"))


def end_of(name):
    try:
        return os.path.getsize(stream_path(name))
    except FileNotFoundError:
        return 0


def issue(csr):
    with tempfile.TemporaryDirectory() as d:
        with open(d + "/csr", "w", encoding="ascii") as f:
            f.write(csr)
        with open(d + "/ext", "w", encoding="ascii") as f:
            f.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=clientAuth\n")
        return subprocess.run(["openssl", "x509", "-req", "-in", d + "/csr", "-CA", path("ca.pem"), "-CAkey", path("ca.key"),
                               "-CAcreateserial", "-CAserial", path("serial"), "-sha256", "-days", str(SET["days"]), "-extfile", d + "/ext"],
                              check=True, capture_output=True, text=True).stdout


class Host:
    """One connected host."""

    def __init__(self, reader, writer, ws, resumed):
        self.reader, self.writer, self.ws, self.resumed = reader, writer, ws, resumed
        self.handles = {}

    def flush(self):
        for data in self.ws.data_to_send():
            if data:
                self.writer.write(data)

    def send(self, message):
        self.ws.send_text(json.dumps(message).encode())
        self.flush()

    def send_raw(self, text):
        self.ws.send_text(text.encode())
        self.flush()

    async def on_text(self, text):
        m = json.loads(text)
        kind = m["type"]
        if kind != "open":
            say(kind, **{k: v for k, v in m.items() if k != "type"}, resumed=self.resumed)
        if kind == "hello":
            self.handles = {}
            streams = [{"name": s["name"], "from": max(end_of(s["name"]), s["base"])} for s in m["streams"]]
            self.send({"type": "welcome", "plane": "cd" * 16, "epoch": EPOCH, "heartbeat": SET["heartbeat"], "streams": streams,
                       "unknown": {"member": 1}})
        elif kind == "open":
            assert m["handle"] not in self.handles, "a handle was opened twice"
            self.handles[m["handle"]] = m["name"]
        elif kind == "cert":
            self.send({"type": "cert", "certificate": issue(m["csr"])})

    async def on_data(self, data):
        kind, flags, zero, handle, offset = struct.unpack(">BBHIQ", data[:16])
        body = data[16:]
        assert kind == 1 and flags in (0, 1) and zero == 0 and len(body) <= 65536, "a data message breaks the rules"
        name = self.handles[handle]
        if SET["slow"]:
            await asyncio.sleep(SET["slow"] / 1000)
        end = end_of(name)  # only now: an older connection of this host may still be at work
        if offset <= end < offset + len(body):
            with open(stream_path(name), "ab") as f:
                f.write(body[end - offset:])
                f.flush()
                os.fsync(f.fileno())
        end = end_of(name)
        if flags & 1 and offset + len(body) == end:
            say("final", name=name, end=end)
        self.send({"type": "ack", "name": name, "offset": end})

    async def run(self):
        while True:
            data = await self.reader.read(65536)
            if SET["mute"]:
                if not data:
                    return
                continue
            if not data:
                self.ws.receive_eof()
                return
            self.ws.receive_data(data)
            self.flush()
            for event in self.ws.events_received():
                if event.opcode is OP_TEXT:
                    await self.on_text(event.data.decode())
                elif event.opcode is OP_BINARY:
                    assert event.fin, "a data message in parts"
                    await self.on_data(event.data)
            await self.writer.drain()


def answer(writer, status, body, kind="application/json"):
    body = body.encode()
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


def enrol(writer, body):
    m = json.loads(body)
    with open(path("token.sha256"), encoding="ascii") as f:
        good = hashlib.sha256(bytes.fromhex(m["token"])).hexdigest() == f.read().strip()
    say("enrol", server=m["server"], good=good, token=m["token"], seal=m["seal"])
    if not good:
        answer(writer, 403, json.dumps({"error": {"code": "E_TOKEN", "text": "no such token"}}))
        return
    os.remove(path("token.sha256"))
    with open(path("token.sha256"), "w", encoding="ascii") as f:
        f.write("used")
    with open(path("trust.json"), encoding="ascii") as f:
        trust = json.load(f)
    answer(writer, 200, json.dumps({"server": m["server"], "certificate": issue(m["csr"]), "plane": "cd" * 16, "trust": trust}))


async def websocket(reader, writer, head):
    tls = writer.get_extra_info("ssl_object")
    if tls.getpeercert() is None:
        answer(writer, 401, "{}")
        return
    if SET["reject"]:
        answer(writer, SET["reject"], "{}")
        return
    ws = Protocol(subprotocols=["klystrr.agent.v1"], max_size=1 << 20)
    ws.receive_data(head)
    (request,) = ws.events_received()
    ws.send_response(ws.accept(request))
    host = Host(reader, writer, ws, tls.session_reused)
    host.flush()
    HOSTS.add(host)
    SET["connections"] += 1
    say("connected", number=SET["connections"], resumed=tls.session_reused)
    try:
        await host.run()
    finally:
        HOSTS.discard(host)
        say("disconnected")


async def on_connection(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line = head.split(b"\r\n")[0].decode()
        length = [int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")]
        body = await reader.readexactly(length[0]) if length else b""
        if line.startswith("GET /agent/v1/ca "):
            with open(path("ca.pem"), encoding="ascii") as f:
                answer(writer, 200, f.read(), "application/x-pem-file")
        elif line.startswith("POST /agent/v1/enrol "):
            enrol(writer, body)
        elif line.startswith("GET /agent/v1 "):
            await websocket(reader, writer, head)
        else:
            answer(writer, 404, "{}")
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        pass
    except Exception as e:  # a breach of the protocol: the test waits for this line
        say("breach", text=repr(e))
    finally:
        writer.close()


def command(line):
    word, _, rest = line.strip().partition(" ")
    if word == "text":
        for h in list(HOSTS):
            h.send_raw(rest)
    elif word == "binary":
        for h in list(HOSTS):
            h.ws.send_binary(bytes.fromhex(rest))
            h.flush()
    elif word == "drop":
        for h in list(HOSTS):
            h.writer.transport.abort()
    elif word == "mute":
        SET["mute"] = True
    elif word == "ping":
        say("pong")
    elif word in SET:
        SET[word] = int(rest)
    else:
        say("breach", text="no such command: " + line)


async def main():
    os.makedirs(path("streams"), exist_ok=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path("server.pem"), path("server.key"))
    tls.load_verify_locations(path("ca.pem"))
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    print(server.sockets[0].getsockname()[1], flush=True)
    stdin = asyncio.StreamReader(limit=1 << 22)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while line := await stdin.readline():
        command(line.decode())


asyncio.run(main())
