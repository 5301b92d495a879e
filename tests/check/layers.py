#!/usr/bin/env python3
"""Holds the tree to its floors: no include cycle, no include that points up, no process that includes another,
and no `struct verified` made anywhere but where signatures are checked. Exits 1 with a line for each breach."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# What each room may include besides itself. Rooms are folders; the longest match wins.
MAY = {
    "base": [],
    "ipc": ["base"],
    "stream": ["base"],
    "proto": ["base"],
    "trust": ["proto", "base"],
    "net/loop": ["base"],
    "net/http": ["net/loop", "base"],
    "net/tls": ["net/loop", "base"],
    "net/ws": ["net/http", "net/loop", "base"],
    "agent/agent": ["trust", "proto", "ipc", "net/loop", "base"],
    "agent/uplink": ["net/tls", "net/ws", "net/http", "net/loop", "stream", "proto", "trust", "ipc", "base"],
    "agent/scribe": ["ipc", "base"],
    "agent/supervise": ["ipc", "base"],
    "agent/warden": ["ipc", "base"],
    "agent/confine": ["ipc", "base"],
    "agent/fetch": ["base"],
    "agent/probe": ["net/http/head_guard.h", "base"],
    "plane": ["net/tls", "net/ws", "net/http", "net/loop", "stream", "trust", "proto", "base"],
    "cli": ["net/tls", "net/http", "net/loop", "trust", "proto", "ipc", "base",
            "agent/scribe/mask.h", "agent/scribe/patterns.h"],
}
# A header through which one program tells others what it says, without code behind it.
SPOKEN = {"agent/fetch/result.h"}


def room_of(path):
    best = ""
    for room in MAY:
        if path.startswith(room + "/") and len(room) > len(best):
            best = room
    return best


def sources():
    for top in sorted({r.split("/")[0] for r in MAY}):
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def find_cycle(graph):
    state, trail = {}, []

    def visit(node):
        state[node] = 1
        trail.append(node)
        for to in graph.get(node, ()):
            if state.get(to) == 1:
                return trail[trail.index(to):] + [to]
            if to not in state:
                cycle = visit(to)
                if cycle:
                    return cycle
        trail.pop()
        state[node] = 2
        return None

    for node in sorted(graph):
        if node not in state:
            cycle = visit(node)
            if cycle:
                return cycle
    return None


def main():
    breaches, graph, seen = [], {}, 0
    for path in sources():
        seen += 1
        room = room_of(path)
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            text = f.read()
        graph[path] = []
        for line, target in ((text[:m.start()].count("\n") + 1, m.group(1))
                             for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', text, re.M)):
            if not os.path.exists(os.path.join(ROOT, target)):
                continue  # made by the build
            graph[path].append(target)
            to = room_of(target)
            allowed = to == room or target in SPOKEN or any(target == a or to == a for a in MAY[room])
            if not allowed:
                breaches.append(f"{path}:{line}: {room} may not include {target}")
        if path not in ("trust/verify.c", "trust/verify.h", "proto/verified.h") and \
                re.search(r"\(struct verified\)\s*\{|struct verified \w+\s*=\s*\{", text):
            breaches.append(f"{path}: only trust/verify.c may make a struct verified")
    cycle = find_cycle(graph)
    if cycle:
        breaches.append("include cycle: " + " -> ".join(cycle))
    for breach in breaches:
        print(breach)
    print(f"layers: {seen} files, {len(breaches)} breaches")
    return 1 if breaches or seen == 0 else 0


sys.exit(main())
