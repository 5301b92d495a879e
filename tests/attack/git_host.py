#!/usr/bin/env python3
"""A Git host for tests: git http-backend over https, and the same behaving badly.

usage: git_host.py ROOT CERT KEY PORTFILE
Writes the port it got to PORTFILE. /ok/REPO is honest, /auth/REPO wants user x-access-token with password
"tr0ub4dor-token", /redirect/REPO answers 302 to another address, /silent/REPO says nothing for ever, /garbage/REPO
and /nocaps/REPO answer with broken pkt-lines, /many/REPO advertises 120,000 refs, /drop/REPO closes in mid-pack,
/slow/REPO stops in mid-pack."""
import base64, http.server, os, ssl, subprocess, sys, threading, time

ROOT, CERT, KEY, PORTFILE = sys.argv[1:5]
TOKEN = "Basic " + base64.b64encode(b"x-access-token:tr0ub4dor-token").decode()


def pkt(text):
    return ("%04x" % (len(text) + 4)).encode() + text


class Host(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", kind="text/plain", **more):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def advertise(self, lines):
        self.answer(200, b"".join(lines), "application/x-git-upload-pack-advertisement")

    def handle_git(self):
        path, _, query = self.path.partition("?")
        mode, _, rest = path.lstrip("/").partition("/")
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else self.read_chunks()
        if mode == "redirect":
            return self.answer(302, Location="https://127.0.0.2:1/ok/" + rest)
        if mode == "silent":
            return time.sleep(3600)
        if mode == "garbage":
            return self.advertise([b"zzzz# service=git-upload-pack\n", os.urandom(4000)])
        if mode == "nocaps":
            return self.advertise([pkt(b"# service=git-upload-pack\n"), b"0000", pkt(b"1" * 40 + b" refs/heads/main\n"), b"0000"])
        if mode == "many":
            first = b"1" * 40 + b" refs/heads/x\0ofs-delta side-band-64k\n"
            return self.advertise([pkt(b"# service=git-upload-pack\n"), b"0000", pkt(first)] +
                                  [pkt(b"%040d refs/heads/b%d\n" % (i + 1, i)) for i in range(120000)] + [b"0000"])
        if mode == "auth" and self.headers.get("Authorization") != TOKEN:
            return self.answer(401, WWW_Authenticate='Basic realm="git"')
        self.backend(mode, "/" + rest, query, body)

    def read_chunks(self):
        if "chunked" not in (self.headers.get("Transfer-Encoding") or ""):
            return b""
        body = b""
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return body

    def backend(self, mode, path, query, body):
        environment = dict(os.environ, GIT_PROJECT_ROOT=ROOT, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path,
                           QUERY_STRING=query, REQUEST_METHOD=self.command, REMOTE_ADDR="127.0.0.1",
                           CONTENT_TYPE=self.headers.get("Content-Type") or "", CONTENT_LENGTH=str(len(body)))
        if self.headers.get("Content-Encoding"):
            environment["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        done = subprocess.run(["git", "-c", "safe.directory=*", "http-backend"], input=body, capture_output=True,
                              env=environment, check=False).stdout
        head, _, content = done.partition(b"\r\n\r\n")
        status, kind = 200, "text/plain"
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "status":
                status = int(value.split()[0])
            if name.lower() == "content-type":
                kind = value
        if mode in ("drop", "slow") and self.command == "POST" and len(content) > 2000:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if mode == "slow":
                time.sleep(3600)
            self.close_connection = True
            return
        self.answer(status, content, kind)

    do_GET = do_POST = handle_git


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERT, KEY)
server.socket = context.wrap_socket(server.socket, server_side=True)
with open(PORTFILE + ".new", "w") as out:
    out.write(str(server.server_address[1]))
os.rename(PORTFILE + ".new", PORTFILE)
server.serve_forever()
