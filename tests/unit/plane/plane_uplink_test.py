#!/usr/bin/env python3
"""The real plane, the real uplink and the real command line; only the agent behind link.sock is played here.
plane_uplink_test.py BIN_FOLDER. Exit 77: not all of them are built."""
import base64
import gzip
import json
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

BIN = sys.argv[1]
for name in ("klystrr", "klystrr-plane", "klystrr-uplink"):
    if not os.path.exists(os.path.join(BIN, name)):
        print(f"skip - {name} is not built")
        sys.exit(77)

DIR = tempfile.mkdtemp(prefix="klystrr-plane-uplink-")
failures, processes = 0, []
COMMIT = "1" * 40
HELLO, PROJECT, STREAM, GROWN, GONE, STATUS, READY, CHALLENGE, WANT, REFUSED, DOCUMENT, ACKED, NEED, ONLINE = range(1, 15)


def check(name, ok, more=""):
    global failures
    print(("ok - " if ok else "not ok - ") + name, flush=True)
    if not ok:
        failures += 1
        print("#  " + str(more)[:2000])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(ask, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = ask()
        if value:
            return value
        time.sleep(0.05)
    return None


def cli(*args, **more):
    return subprocess.run([os.path.join(BIN, "klystrr"), *args, "--config", os.path.join(DIR, "cli")],
                          capture_output=True, text=True, timeout=60, **more)


def spawn(name, *args):
    p = subprocess.Popen([os.path.join(BIN, name), *args], stderr=open(os.path.join(DIR, name + ".log"), "a"))
    processes.append(p)
    return p


class Agent:
    """What stands behind link.sock: it says what it has, keeps what it gets."""

    def __init__(self, path, server, point):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1)
        self.server, self.point, self.link, self.challenge = server, point, None, b""
        self.sequence, self.streams, self.trust = 0, {}, 0

    def accept(self):
        self.listener.settimeout(10)
        self.link, _ = self.listener.accept()
        self.hello()

    def send(self, verb, body=b"", fd=None):
        head = struct.pack("=IHHII", 0x4B4C5931, 1, verb, len(body), 0)
        socket.send_fds(self.link, [head + body], [fd] if fd is not None else [])

    def hello(self):
        self.challenge = os.urandom(32)
        self.send(HELLO, struct.pack("=24s24sI4xQ32s65s7x", self.server.encode(), b"0.1.0", 1, self.trust, self.challenge, self.point))
        for number, (name, path, closed) in self.streams.items():
            fd = os.open(path, os.O_RDONLY)
            self.send(STREAM, struct.pack("=II64sQQ", number, closed, name.encode(), 0, os.path.getsize(path)), fd)
            os.close(fd)
        self.send(READY)

    def stream(self, number, name, path, closed):
        self.streams[number] = (name, path, closed)
        fd = os.open(path, os.O_RDONLY)
        self.send(STREAM, struct.pack("=II64sQQ", number, closed, name.encode(), 0, os.path.getsize(path)), fd)
        os.close(fd)

    def grown(self, number):
        name, path, closed = self.streams[number]
        self.send(GROWN, struct.pack("=IIQ", number, closed, os.path.getsize(path)))

    def expect(self, verb, ok=lambda body, data: True, seconds=10):
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.link], [], [], left)[0]:
                return None
            data, fds, _, _ = socket.recv_fds(self.link, 16384, 6)
            if not data:
                return None
            got, body, content = struct.unpack("=IHHII", data[:16])[2], data[16:], b""
            for fd in fds:
                with os.fdopen(fd, "rb") as f:
                    f.seek(0)
                    content = f.read()
            if got == NEED:
                self.hello()
            if got == verb and ok(body, content):
                return body, content


def openssl(*args, data=None):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=True).stdout


def main():
    data, api, agents = os.path.join(DIR, "plane"), f"https://127.0.0.1:{free_port()}", f"https://127.0.0.1:{free_port()}"
    fetch = os.path.join(DIR, "fetch")
    with open(fetch, "w") as f:
        f.write(f"#!/bin/sh\necho 'tip {COMMIT}'\n")
    os.chmod(fetch, 0o755)
    subprocess.run([os.path.join(BIN, "klystrr-plane"), "init", "--data", data, "--api", api, "--agents", agents], check=True, capture_output=True)
    run = ["run", "--data", data, "--fetch-program", fetch]
    plane = spawn("klystrr-plane", *run)
    ca, key = os.path.join(data, "ca.pem"), os.path.join(data, "admin.key")
    login = lambda: cli("login", "--plane", api, "--ca", ca, "--key-file", key).returncode == 0
    check("the command line finds the plane", until(login))
    check("the owner's keys are made and trust is published", cli("keys", "init").returncode == 0)
    token = [w for w in cli("servers", "add", "web1").stdout.split() if w.startswith("klt1_")][0][5:]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    server, pin = "srv_" + raw[33:41].hex(), raw[41:73].hex()
    check("the token carries the plane's URL", raw[105:].decode() == agents)

    state, link = os.path.join(DIR, "identity"), os.path.join(DIR, "link.sock")
    os.mkdir(state, 0o700)
    for path, text in ((os.path.join(state, "token"), raw[1:33].hex()),
                       (os.path.join(DIR, "agent.json"), json.dumps({"server": server, "plane": agents, "ca": pin, "trust": raw[73:105].hex(), "mode": "direct"}))):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(text)
    secret = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    agent = Agent(link, server, openssl("ec", "-pubout", "-outform", "DER", data=secret)[-65:])
    uplink = spawn("klystrr-uplink", "--config", os.path.join(DIR, "agent.json"), "--state", state, "--link", link)
    agent.accept()
    trust = agent.expect(DOCUMENT)
    check("the uplink enrols itself and relays trust version 1", trust and json.loads(trust[1])["version"] == 1)
    agent.trust = 1
    check("the server shows as connected", until(lambda: "connected" in cli("servers").stdout))

    app = os.path.join(DIR, "app")
    os.mkdir(app)
    for name, text in (("package.json", '{"name":"x","scripts":{"start":"node server.js"}}'), ("package-lock.json", "{}")):
        with open(os.path.join(app, name), "w") as f:
            f.write(text)
    r = cli("init", "--project", "shop", "--repo", "https://git.example.org/shop.git", "--server", "web1", "--domain", "shop.example.org",
            "--listen", "8081", "--node", "system", "--start", "node server.js", "--env", "API_TOKEN", "--folder", app)
    check("a manifest is made, signed and published", r.returncode == 0, r.stderr)
    check("a value is set", cli("env", "set", "--project", "shop", "API_TOKEN", input="a-secret-value-0815\n").returncode == 0)

    deploy = subprocess.Popen([os.path.join(BIN, "klystrr"), "deploy", "--project", "shop", "--config", os.path.join(DIR, "cli")],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    processes.append(deploy)
    kinds, order = [], None
    for _ in range(3):
        # Trust may come twice: with the enrolment, and because our first hello had none.
        got = agent.expect(DOCUMENT, lambda _, text: json.loads(text)["type"] != "trust")
        if got:
            kinds.append(json.loads(got[1])["type"])
            order = json.loads(got[1])
    check("manifest, env and order come through the uplink", kinds == ["manifest", "env", "order"], kinds)
    check("the order echoes this agent's challenge", base64.b64decode(order["challenge"]) == agent.challenge and order["commit"] == COMMIT, order)

    dep, release = order["deployment"], f"{order['sequence']}-{COMMIT[:12]}"
    events, log = os.path.join(DIR, "events"), os.path.join(DIR, "log")
    now = lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    def say(**more):
        with open(events, "a") as f:
            f.write(json.dumps({"at": now(), "project": "shop", "deployment": dep, **more}) + "\n")
    say(event="state", state="accepted")
    say(event="state", state="building")
    agent.stream(1, "events", events, 0)
    ended = lambda path: lambda body, _: struct.unpack("=IIQ", body)[2] == os.path.getsize(path)
    check("events are durable at the plane", agent.expect(ACKED, ended(events)))
    text = b"".join(b"2026-11-22T00:00:00.000Z build out \xe2\x94\x82 line %d %s\n" % (i, os.urandom(30).hex().encode()) for i in range(20000))
    with open(log, "wb") as f:
        for at in range(0, len(text), 200000):
            f.write(gzip.compress(text[at:at + 200000]))
    agent.stream(2, f"log/{dep}", log, 1)

    # In the middle of it the plane dies, and comes back.
    time.sleep(0.05)
    plane.kill()
    plane.wait()
    plane = spawn("klystrr-plane", *run)
    say(event="result", outcome="live", code="", text="live", release=release, commit=COMMIT, serving=release, elapsed_ms=1500)
    agent.grown(1)
    agent.sequence = order["sequence"]
    check("after kill -9 of the plane everything arrives", agent.expect(ACKED, lambda b, _: struct.unpack("=IIQ", b)[:1] == (2,) and struct.unpack("=IIQ", b)[2] == os.path.getsize(log), 60))
    out = deploy.communicate(timeout=60)[0]
    check("deploy waits for the result and says so", deploy.returncode == 0 and "live" in out, (deploy.returncode, out))
    r = cli("logs", "--project", "shop")
    check("the log is whole", text.decode() in r.stdout, (len(r.stdout), len(text)))
    check("the release is live", release in cli("releases", "--project", "shop").stdout)

    cli("servers", "remove", "web1")
    check("a removed server is cut off", agent.expect(ONLINE, lambda b, _: struct.unpack("=I", b[:4])[0] == 0))
    for p in (plane, uplink):
        p.terminate()
    check("both end in order", plane.wait(15) == 0 and uplink.wait(15) == 0, (plane.returncode, uplink.returncode))


try:
    main()
except Exception as e:  # so that what was started ends, whatever happens
    check("the test runs to its end", False, repr(e))
finally:
    for p in processes:
        if p.poll() is None:
            p.kill()
    logs = {n: open(os.path.join(DIR, n)).read() for n in os.listdir(DIR) if n.endswith(".log")}
    check("the sanitizers said nothing", not any("Sanitizer" in t or "runtime error" in t for t in logs.values()), logs)
    if failures:
        for name, text in logs.items():
            print(f"# {name}\n{text[-4000:]}")
    shutil.rmtree(DIR)
sys.exit(1 if failures else 0)
