#!/usr/bin/env python3
"""links.py BIN_FOLDER: each program links the libraries that its one job needs, and no other.
Reads the dynamic section (readelf -d). Exits 1 with a line for each library too many."""
import os
import re
import subprocess
import sys

TLS = {"libmbedtls", "libmbedx509", "libmbedcrypto"}
NET = TLS | {"libuv", "libwslay", "libllhttp"}
MAY = {
    "klystrr-agent": {"libuv", "libcjson", "libmbedcrypto"},
    "klystrr-uplink": NET | {"libcjson"},
    "klystrr-scribe": {"libz"},
    "klystrr-supervise": set(),
    "klystrr-warden": set(),
    "klystrr-confine": set(),
    "klystrr-fetch": {"libgit2"},
    "klystrr-probe": {"libllhttp"},
    "klystrr": TLS | {"libuv", "libcjson", "libllhttp", "libz"},
    "klystrr-plane": NET | {"libcjson", "libz", "libsqlite3", "libargon2"},
}
# libc's own, and what a sanitizer build brings.
ALWAYS = {"libc", "libm", "libpthread", "libdl", "librt", "ld-linux-x86-64", "ld-linux-aarch64", "libgcc_s",
          "libasan", "libubsan", "libresolv"}


def needed(path):
    out = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    return {re.sub(r"\.so\b.*$", "", n) for n in re.findall(r"\(NEEDED\).*\[(.+?)\]", out)}


def main():
    folder = sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: links.py BIN_FOLDER")
    wrong = checked = 0
    for program, may in sorted(MAY.items()):
        path = os.path.join(folder, program)
        if not os.path.exists(path):
            print(f"{program}: not built")
            wrong += 1
            continue
        checked += 1
        for library in sorted(needed(path) - may - ALWAYS):
            print(f"{program} links {library}, which it must not")
            wrong += 1
    print(f"links: {checked} programs, {wrong} breaches")
    return 1 if wrong else 0


sys.exit(main())
