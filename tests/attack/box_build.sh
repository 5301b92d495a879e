#!/bin/sh
# Normal builds work in the box (SBX-24), and a stranger's package gets no further through npm than alone (SBX-18). Needs a registry.
#   sh tests/attack/box_build.sh [BUILD_DIR]
# shellcheck disable=SC2016,SC2154
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-${KLY_BUILD:-$here/../../build}}" 2>/dev/null && pwd) || { echo "SKIP: no build folder"; exit 77; }
# shellcheck source=tests/lib/bed.sh disable=SC1091
. "$here/../lib/bed.sh"
bed_enter "$here/box_build.sh" "$build"
for tool in npm node gcc make python3 git; do command -v $tool >/dev/null || bed_skip "no $tool"; done
npm ping >/dev/null 2>&1 || npm view express version >/dev/null 2>&1 || bed_skip "no npm registry"
bed_programs "$build"
bed_users
bed_project shop 64200
"$build/tests/policy_write" /etc/klystrr/policy.table 'shop:20000-20100:shop.test' || exit 1
subject=7-aaaaaaaaaaaa
staging=/srv/klystrr/shop/staging/$subject
mkdir -p "$staging/evil" && cp "$build/tests/prober" "$staging/evil/"
cat >"$staging/package.json" <<'JSON'
{
  "name": "app", "version": "1.0.0", "private": true,
  "scripts": { "build": "esbuild src.ts --bundle --platform=node --outfile=dist/app.js && tsc --noEmit --skipLibCheck src.ts" },
  "dependencies": { "express": "^4", "evil": "file:./evil" },
  "devDependencies": { "esbuild": "*", "typescript": "^5" }
}
JSON
cat >"$staging/evil/package.json" <<'JSON'
{ "name": "evil", "version": "1.0.0", "scripts": { "postinstall": "./prober bpf ptrace mount unshare_user io_uring_setup connect:/run/klystrr/box.sock open:/srv/klystrr/shop/run >probed" } }
JSON
echo 'export const answer: number = 42; console.log(answer)' >"$staging/src.ts"
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' >"$staging/c.c"
printf 'all:\n\tgcc -O2 -o c c.c && ./c\n' >"$staging/Makefile"
chown -R kb-shop:kb-shop "$staging"
out=$(mktemp) err=$(mktemp)
box() { "$build/tests/box_client" --confine "$build/bin/klystrr-confine" --project shop --subject $subject --env npm_config_cache=/srv/klystrr/shop/cache/npm "$@" >"$out" 2>"$err"; }
tell() { [ "$1" = 0 ] || tail -n 15 "$out" "$err"; }
box -- npm install --package-lock-only --no-audit --no-fund
code=$?; tell $code
ok "npm install --package-lock-only" $code = 0
box -- npm ci --no-audit --no-fund
code=$?; tell $code
ok "npm ci" $code = 0
for line in 'bpf EPERM' 'ptrace EPERM' 'mount EPERM' 'unshare_user EPERM' 'io_uring_setup ENOSYS' 'connect:/run/klystrr/box.sock ENOENT' 'open:/srv/klystrr/shop/run ENOENT'; do
    box -- grep -x "$line" evil/probed
    ok "a postinstall script gets: $line" $? = 0
done
box -- npm run build
code=$?; tell $code
ok "npm run build: esbuild and tsc" $code = 0
box -- node dist/app.js
ok "what was built runs" "$(cat "$out")" = 42
box -- make
ok "make and gcc" -n "$(grep '^compiled$' "$out")"
box -- python3 -c 'import multiprocessing as m; print(sum(m.Pool(2).map(abs, range(-3, 3))))'
ok "python with processes" "$(cat "$out")" = 9
box -- node -e 'const {Worker} = require("worker_threads"); new Worker("require(\"worker_threads\").parentPort.postMessage(7)", {eval: true}).on("message", (n) => console.log(n))'
ok "worker threads" "$(cat "$out")" = 7
box -- node -e 'WebAssembly.instantiate(Buffer.from("0061736d010000000105016000017f030201000707010372756e00000a0601040041090b", "hex")).then((w) => console.log(w.instance.exports.run()))'
ok "WebAssembly" "$(cat "$out")" = 9
box -- sh -c 'git init -q g && cd g && git -c user.name=x -c user.email=x@y commit -q --allow-empty -m first && git clone -q . ../h && git -C ../h log --format=%s'
ok "git" "$(cat "$out")" = first
box -- node -e 'console.log(Object.keys(require("os").networkInterfaces()).length > 0)'
ok "network interfaces" "$(cat "$out")" = true
rm -f "$out" "$err"
bed_result
