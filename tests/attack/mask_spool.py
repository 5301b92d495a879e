#!/usr/bin/env python3
"""The agent's side of klystrr-scribe, and a phase that prints its secrets in every way it can think of (ATTACKS 2.5:
MSK-05 to 16, 18 to 27). No eight bytes of any secret, in any spelling, may be in the spool: not in its text, not in its
raw bytes. Encodings are made here, by other code than the scribe's."""
import array, base64, fcntl, gzip, html, json, os, random, shlex, shutil, signal, socket, struct, subprocess, sys, tempfile, time, urllib.parse

SCRIBE = os.path.join(os.environ.get("KLY_BIN") or os.environ.get("KLY_BUILD", "build") + "/bin", "klystrr-scribe")
if not os.access(SCRIBE, os.X_OK):
    print("skipped: no " + SCRIBE)
    sys.exit(77)
START, ADD_SECRET, ADD_PIPE, NOTE, PAUSE, RESUME, FLUSH, CLOSE = range(1, 9)
SYNCED, PIPE_EOF, STATS, CLOSED, TROUBLE, ERROR = 100, 101, 102, 103, 104, 0xFFFF
OUT, ERR, MASK = 1, 2, 3


class Scribe:
    def __init__(self, spool):
        self.spool = spool
        self.mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.mine.settimeout(30)
        control, log = theirs.fileno(), os.open(spool, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        # Descriptors 3 and 4, whatever numbers they have here.
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 40) for fd in (control, log)]
        self.process = subprocess.Popen([SCRIBE], close_fds=False,
                                        preexec_fn=lambda: [os.dup2(fd, i + 3) for i, fd in enumerate(high)])
        for fd in high + [log]:
            os.close(fd)
        theirs.close()

    def say(self, verb, body=b"", fd=None):
        head = struct.pack("=IHHII", 0x4B4C5931, 1, verb, len(body), 9)
        extra = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.mine.sendmsg([head + body], extra)

    def hear(self, verb, serial=9):
        while True:
            data = self.mine.recv(9000)
            if not data:
                raise EOFError
            _, _, got, _, number = struct.unpack("=IHHII", data[:16])
            if got == ERROR:
                raise RuntimeError(data[16:].replace(b"\0", b"").decode())
            if got == verb and number == serial:
                return data[16:]

    def start(self, offset=0):
        self.say(START, struct.pack("=QII", offset, 0, 0))
        return struct.unpack("=Q", self.hear(SYNCED))[0]

    def secret(self, value):
        fd = os.memfd_create("secret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, value)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
        self.say(ADD_SECRET, fd=fd)
        os.close(fd)
        return struct.unpack("=II", self.hear(ADD_SECRET))[0]

    def pipe(self, number, kind, resumed=0):
        reads, writes = os.pipe()
        self.say(ADD_PIPE, struct.pack("=III20s", number, kind, resumed, b"build"), reads)
        self.hear(ADD_PIPE)
        os.close(reads)
        return writes

    def note(self, text):
        self.say(NOTE, text.ljust(4096, b"\0"))
        self.hear(NOTE)

    def close(self, drain=10000):
        self.say(CLOSE, struct.pack("=I", drain))
        end = struct.unpack("=Q", self.hear(CLOSED))[0]
        assert self.process.wait(20) == 0
        assert end == os.path.getsize(self.spool), (end, os.path.getsize(self.spool))


def spellings(secret):
    text = secret.decode("latin-1")
    yield secret
    for before in (b"", b":", b"a:", b"user:"):
        for coded in (base64.b64encode(before + secret), base64.urlsafe_b64encode(before + secret), base64.b64encode(before + secret + b"\n"),
                      base64.b64encode(before + secret + b"&m")):
            yield coded
    yield base64.encodebytes(secret)
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    try:
        word = secret.decode()
    except UnicodeDecodeError:
        return
    quoted = urllib.parse.quote(word, safe="")
    yield quoted.encode()
    yield urllib.parse.quote(word, safe="!'()*").encode()
    yield urllib.parse.quote_plus(word).encode()
    yield "".join(c.lower() if i >= 2 and "%" in quoted[i - 2:i] or i >= 1 and quoted[i - 1] == "%" else c for i, c in enumerate(quoted)).encode()
    yield json.dumps(word).encode()
    yield json.dumps(word, ensure_ascii=False).encode()
    yield json.dumps([json.dumps([word], ensure_ascii=False)], ensure_ascii=False).encode()
    yield json.dumps(word).replace("/", "\\/").encode()
    yield shlex.quote(word).encode()
    yield ("'" + word.replace("'", "'\\''") + "'").encode()
    yield html.escape(word, quote=False).encode()
    yield html.escape(word).encode()
    yield repr(word).encode()
    yield word.replace("\n", "\r\n").encode()
    for line in word.split("\n"):
        if len(line) >= 8:
            yield line.encode()
    yield text.encode("latin-1").replace(b"c", b"c\x1b[31m\x1b[1m")


kept = [os.open("/dev/null", os.O_RDONLY) for _ in range(8)]  # so that 3 and 4 are nobody's when a scribe is started
random.seed(4711)
secrets = [b"hunter2-s3cret/value+x", b"p@ss w\xc3\xb6rd \"q\" & <it's> \\ /", b"\xff\xfe\x00\x01binary\x80".replace(b"\x00", b"\x02"),
           b"-----BEGIN KEY-----\nMIIBVgIBADANBgkqhkiG9w0BAQEF\nc2Vjb25kbGluZQ==\n-----END KEY-----\n",
           bytes(random.choice(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(5000)),
           b"aaaaaaaaaaaaaaaaaaaaaaaab", b'{"token": "b1946ac92492", "deep": ["another-leaf"]}', b"MASKED"]
folder = tempfile.mkdtemp()
spool = os.path.join(folder, "log")
scribe = Scribe(spool)
try:
    scribe.start()
    for secret in secrets:
        assert scribe.secret(secret) == 1, secret
    for short in (b"", b"a", b"none", b"12345", b"  \n"):
        assert scribe.secret(short) == 0, short
    out, err = scribe.pipe(1, OUT), scribe.pipe(2, ERR)
    printed = [form for secret in secrets for form in spellings(secret)]
    for stream in (out, err):
        for form in printed:
            line = b"before " + form + b" after\n"
            while line:
                size = random.choice((1, 2, 3, 7, 100, 5000))
                os.write(stream, line[:size])
                line = line[size:]
    os.write(out, b"none 12345 stay\n" + b"x" * 9000 + secrets[0] + b"\n")
    scribe.note(b"cloning https://u:" + secrets[0] + b"@host/\x1b[2J")
    os.close(out)
    os.close(err)
    scribe.close()
    raw = open(spool, "rb").read()
    text = gzip.decompress(raw)
    plain = text.replace(b"\x1b[31m", b"").replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"")
    failed = 0
    for secret in secrets[:6] + [b"b1946ac92492", b"another-leaf"]:
        for form in list(spellings(secret.strip())):
            for at in range(len(form) - 7):
                window = form[at:at + 8]
                if b"\x1b" in window or window in b"-----BEGIN KEY-----END KEY-----" or window == b"aaaaaaaa":
                    continue
                if window in plain or window in raw:
                    failed += 1
                    print("FAILED: eight bytes of a secret are in the log:", window, "of", form[:60])
                    break
    assert b"none 12345 stay" in text, "short values are not masked"
    assert b"more bytes cut]" in text and b"x" * 8000 in text, "long lines are cut, after masking"
    assert b"kly out \xe2\x94\x82 cloning https://u:[MASKED]@host/\\x1b[2J\n" in text, "notes are masked"
    assert all(len(line) < 8400 for line in text.split(b"\n")), "no line is longer"

    # kill -9 in the middle, again and again: what is on disk stays readable, and holds no secret.
    for turn in range(8):
        spool = os.path.join(folder, "killed%d" % turn)
        scribe = Scribe(spool)
        scribe.start()
        scribe.secret(secrets[0])
        out = scribe.pipe(1, OUT)
        end = time.monotonic() + 0.15 * turn
        os.set_blocking(out, False)
        while time.monotonic() < end:
            try:
                os.write(out, b"line " + secrets[0] + b"\n")  # whole, or not at all: less than PIPE_BUF
            except BlockingIOError:
                time.sleep(0.001)
        os.kill(scribe.process.pid, signal.SIGKILL)
        scribe.process.wait()
        with open(spool, "ab") as torn:
            torn.write(b"\x1f\x8b\x08\x00torn"[: turn + 1])
        again = Scribe(spool)
        again.start()
        again.close()
        text = gzip.decompress(open(spool, "rb").read())
        assert not any(secrets[0][at:at + 8] in text for at in range(len(secrets[0]) - 7))
        assert b"[gap]" in text
    status = Scribe(os.path.join(folder, "gone"))
    status.mine.close()
    assert status.process.wait(10) == 0, "ends when the agent is gone"
    assert subprocess.run([SCRIBE], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False).returncode == 2
    print("%d spellings of %d secrets, %d windows found" % (len(printed), len(secrets), failed))
    sys.exit(1 if failed else 0)
finally:
    scribe.process.kill()
    shutil.rmtree(folder)
