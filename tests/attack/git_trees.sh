#!/bin/sh
# shellcheck disable=SC1091,SC2154,SC2016,SC2012 # git_lib.inc sets the variables
# Trees that no honest Git makes, and releases that a build spoiled (ATTACKS 2.3: GIT-01 to 05, 09, 16, 18, 19; SBX-17).
. "$(dirname "$0")/git_lib.inc"

git init -q --bare "$work/evil.git"
start_host
blob() { printf '%s' "$1" | git -C "$work/evil.git" hash-object -w --stdin; }
# tree MODE NAME HASH [MODE NAME HASH ...]: raw, unsorted and unchecked. Names may hold \-escapes.
tree() {
    python3 -c 'import sys
out = b""
for i in range(1, len(sys.argv), 3):
    name = sys.argv[i + 1].encode("latin-1").decode("unicode_escape").encode("latin-1")
    out += sys.argv[i].encode() + b" " + name + b"\0" + bytes.fromhex(sys.argv[i + 2])
sys.stdout.buffer.write(out)' "$@" | git -C "$work/evil.git" hash-object -w -t tree --literally --stdin
}
commit() {
    made=$(git -C "$work/evil.git" commit-tree -m evil "$1" </dev/null)
    git -C "$work/evil.git" update-ref refs/heads/main "$made"
    echo "$made"
}
file=$(blob text)

# try NAME CODE TREE
try() {
    expect "$1" "$2" fetch_it ok/evil.git "$(commit "$3")"
}
for entry in .git .GIT .Git 'git~1' 'GIT~1' '.git.' '.git ' '.git::$INDEX_ALLOCATION' '.git:x' '.g\xe2\x80\x8cit' '\xef\xbb\xbf.git' '..' '.' \
    'a/b' '../x' '.git/hooks' '.git\\\\x'; do
    try "refuses the name '$entry' (GIT-01)" E_GIT_TREE "$(tree 100644 "$entry" "$file")"
    try "refuses the folder '$entry' (GIT-01)" E_GIT_TREE "$(tree 40000 "$entry" "$(tree 100644 x "$file")")"
    check "writes nothing" sh -c "! ls -A '$work/staging' 2>/dev/null | grep -q ."
done
etc=$(blob "$work/outside")
mkdir "$work/outside"
try "refuses a link and a folder of one name (GIT-02)" E_GIT_TREE "$(tree 120000 a "$etc" 40000 a "$(tree 100644 passwd "$file")")"
check "nothing is outside" sh -c "! ls -A '$work/outside' | grep -q ."
try "refuses two files of one name" E_GIT_TREE "$(tree 100644 a "$file" 100644 a "$file")"
for target in /etc/passwd ../x ../../other/.env a/../../x ./../x; do
    try "refuses a link to $target (GIT-03)" E_LINK_ESCAPES "$(tree 120000 x "$(blob "$target")")"
done
try "refuses a link through a link (GIT-03)" E_LINK_ESCAPES \
    "$(tree 40000 d "$(tree 120000 up "$(blob ..)")" 120000 x "$(blob d/up/../secret)")"
try "takes links inside" 0 "$(tree 40000 d "$(tree 120000 up "$(blob ../f)")" 100644 f "$file" 120000 gone "$(blob not-here)")"
try "refuses .gitmodules as a link (GIT-04)" E_GIT_TREE "$(tree 120000 .gitmodules "$(blob f)" 100644 f "$file")"
try "leaves submodules out (GIT-04)" 0 "$(tree 100644 .gitmodules "$(blob '[submodule "x"]
	path = sub
	url = -u./payload')" 160000 sub 1111111111111111111111111111111111111111)"
check "and says so" grep -q '^submodule sub is not fetched' "$work/out"
try "refuses unknown modes (GIT-16)" E_GIT_TREE "$(tree 10644 fifo "$file")"
try "takes no set-id bits from the tree (GIT-16)" 0 "$(tree 106755 suid "$file" 100666 open "$file")"
check "modes are plain" test "$(stat -c %a "$work/staging/suid" "$work/staging/open" | tr '\n' ' ')" = '755 644 '
try "writes strange names as they are (GIT-18)" 0 "$(tree 100644 'A' "$file" 100644 'a' "$file" 100644 'n\nl' "$file" 100644 'e\x1bs%s' "$file")"
check "all four" test "$(ls -A "$work/staging" | wc -l)" = 5
deep=$file
mode=100644
i=0
while [ $i -lt 200 ]; do
    deep=$(tree $mode d "$deep") mode=40000
    i=$((i + 1))
done
try "refuses folders nested too deep (GIT-09)" E_REPO_LIMIT "$deep"
long=$(python3 -c 'print("n" * 300)')
try "refuses names that are too long (GIT-09)" E_GIT_TREE "$(tree 100644 "$long" "$file")"
bomb=$(tree 100644 a "$file" 100644 b "$file" 100644 c "$file" 100644 d "$file" 100644 e "$file")
for _ in 1 2 3 4 5 6 7 8 9; do
    bomb=$(tree 40000 a "$bomb" 40000 b "$bomb" 40000 c "$bomb" 40000 d "$bomb" 40000 e "$bomb")
done
large=$(head -c 3000000 /dev/zero | git -C "$work/evil.git" hash-object -w --stdin)
wide=$(tree 100644 a "$large" 100644 b "$large")
commit "$wide" >"$work/wide"
expect "a bomb of bytes (GIT-09)" E_REPO_LIMIT fetch_it ok/evil.git "$(cat "$work/wide")" --max-mb 4
if [ "${KLY_TEST_LONG:-0}" = 1 ]; then
    try "a bomb of trees (GIT-09)" E_REPO_LIMIT "$bomb"
fi

# ---- finish ----
release() {
    rm -rf "$work/r"
    mkdir -p "$work/r/src" "$work/r/node_modules/.bin" "$work/r/node_modules/tool"
    echo x >"$work/r/src/a.js"
    echo tool >"$work/r/node_modules/tool/cli.js"
    ln -s ../tool/cli.js "$work/r/node_modules/.bin/tool"
}
finish() { "$fetch" finish --staging "$work/r" "$@"; }
release && chmod 4777 "$work/r/src/a.js" && chmod 700 "$work/r/src"
expect "finishes a release" 0 finish
check "clears set-id and write bits" test "$(stat -c %a "$work/r/src/a.js" "$work/r/src" | tr '\n' ' ')" = '755 755 '
check "keeps .bin links" test "$(cat "$work/r/node_modules/.bin/tool")" = tool
release && ln -s /etc/passwd "$work/r/x"
expect "refuses an absolute link (SBX-17)" E_LINK_ESCAPES finish
release && ln -s ../../../outside "$work/r/src/x"
expect "refuses a link upwards" E_LINK_ESCAPES finish
release && ln -s gone/../../../etc "$work/r/x"
expect "refuses a dangling link that would lead out" E_LINK_ESCAPES finish
release && ln -s "/srv/klystrr/p/releases/1-abc/src" "$work/r/x"
expect "takes absolute links to the release's own place" 0 finish --known-as /srv/klystrr/p/releases/1-abc
release && ln -s "/srv/klystrr/p/releases/1-abc/../2-def" "$work/r/x"
expect "but not to its neighbour" E_LINK_ESCAPES finish --known-as /srv/klystrr/p/releases/1-abc
release && mkfifo "$work/r/src/fifo"
expect "refuses a fifo (GIT-16)" E_SPECIAL_FILE finish
release && python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('$work/r/s')"
expect "refuses a socket" E_SPECIAL_FILE finish
release && echo outside >"$work/hard" && ln "$work/hard" "$work/r/hard"
expect "copies hard links" 0 finish
check "so that they are apart" test "$(stat -c %h "$work/r/hard")" = 1
check "with the same bytes" test "$(cat "$work/r/hard")" = outside
release && mkdir "$work/r/uploads" && touch "$work/r/uploads/.gitkeep"
expect "links shared paths" 0 finish --shared uploads=/srv/x/shared/uploads --shared data/deep=/srv/x/shared/data
check "to their targets" test "$(readlink "$work/r/uploads" "$work/r/data/deep" | tr '\n' ' ')" = '/srv/x/shared/uploads /srv/x/shared/data '
expect "twice too" 0 finish --shared uploads=/srv/x/shared/uploads --shared data/deep=/srv/x/shared/data
release && mkdir "$work/r/uploads" && touch "$work/r/uploads/kept.jpg"
expect "refuses files at a shared path" E_SHARED_CONFLICT finish --shared uploads=/srv/x/shared/uploads
check "and keeps them" test -e "$work/r/uploads/kept.jpg"
release && ln -s "$work/outside" "$work/r/data"
expect "makes no shared link through a link" E_LINK_ESCAPES finish --shared data/x=/srv/x
release && mkdir -p "$work/r/cache/sub" && echo x >"$work/r/cache/sub/f"
expect "makes paths writable" 0 finish --writable cache --writable tmp/new --group "$(id -g)"
check "for the group" test "$(stat -c %a "$work/r/cache" "$work/r/cache/sub" "$work/r/cache/sub/f" "$work/r/tmp/new" | tr '\n' ' ')" = '2775 2775 664 2775 '
if [ "$(id -u)" = 0 ]; then
    release && chown 12345 "$work/r/src/a.js"
    expect "refuses files of somebody else (GIT-19)" E_GIT_OWNER finish
    chown 12345 "$work/r"
    expect "refuses a folder of somebody else (GIT-19)" E_GIT_OWNER finish
fi

# ---- remove ----
release && mkdir "$work/r/no" && touch "$work/r/no/f" && ln -s "$work/outside" "$work/r/out" && touch "$work/outside/kept" && chmod 000 "$work/r/no"
expect "removes a release" 0 "$fetch" remove --dir "$work/r"
check "all of it" test ! -e "$work/r"
check "follows no link" test -e "$work/outside/kept"
expect "removes what is not there" 0 "$fetch" remove --dir "$work/r"
mkdir "$work/r" && python3 -c "
import os
os.chdir('$work/r')
for i in range(3000):
    os.mkdir('d' * 20)
    os.chdir('d' * 20)
open('f', 'w').close()"
expect "removes folders deeper than a path can say" 0 "$fetch" remove --dir "$work/r"
check "to the last" test ! -e "$work/r"
if [ "$(id -u)" = 0 ]; then
  # a dropped release: the build user's folder, in which another user wrote where it was allowed to
  mkdir -p "$work/r/cache" "$work/r/dist" && touch "$work/r/dist/code" && mkdir -m 700 "$work/r/cache/app" && touch "$work/r/cache/app/wrote"
  chown -R 54321:54321 "$work/r" && chmod 2775 "$work/r/cache" && chown -R 54322:54321 "$work/r/cache/app"
  as() { who=$1; shift; setpriv --reuid "$who" --regid 54321 --clear-groups "$fetch" remove --dir "$work/r" "$@"; }
  chmod o+x "$work"
  expect "what is not the caller's is no folder to remove" E_GIT_OWNER as 54322
  expect "unless it only takes out its own" 0 as 54322 --best-effort
  check "what it wrote is gone" test ! -e "$work/r/cache/app"
  check "the rest is there" test -e "$work/r/dist/code"
  expect "the owner removes the rest" 0 as 54321
  check "nothing is left of a dropped release" sh -c "! ls -A '$work/r' | grep -q ."
fi
result
