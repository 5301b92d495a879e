#!/bin/sh
# The warden under `--supervise`: what it makes, what it refuses (SBX-21, 30, LOC-05), app units, and a supervisor's death.
#   sh tests/attack/warden.sh [BUILD_DIR]
# shellcheck disable=SC2012,SC2034,SC2154
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-${KLY_BUILD:-$here/../../build}}" 2>/dev/null && pwd) || { echo "SKIP: no build folder"; exit 77; }
# shellcheck source=tests/lib/bed.sh disable=SC1091,SC2034,SC2154
. "$here/../lib/bed.sh"
BED_UNSHARE=-n
bed_enter "$here/warden.sh" "$build"
command -v node >/dev/null || bed_skip "no node"
ip link set lo up
bed_programs "$build"
out=$(mktemp) err=$(mktemp) log=$(mktemp)
w() { "$build/tests/warden_client" "$@" >"$out" 2>"$err"; }
answers() { w state shop web 0 1; }
supervise() { "$build/bin/klystrr-warden" --supervise 2>>"$log" & warden=$!; until_true 5 answers; }
refused() { name=$1 code=$2; shift 2; w "$@"; ok "$name: refused with $code (was: $(cat "$err"))" -n "$(grep "^$code:" "$err")"; ok "$name: audited" -n "$(tail -n 1 "$log" | grep "$code")"; }

"$build/bin/klystrr-warden" --supervise 2>"$err"
ok "without users it says so" -n "$(grep E_LAYOUT "$err")"
bed_users
"$build/tests/policy_write" /etc/klystrr/policy.table 'shop:20000-20003:shop.test,*.shop.test' 'other:20000-20003:other.test' 'off:20000-20100:off.test:paused'
supervise
ok "a first one starts" $? = 0
until_true 5 test -s /var/lib/klystrr/journal/test
until_true 5 test -s /var/lib/klystrr/identity/test
ok "the agent gets two sockets" "$(cat /var/lib/klystrr/journal/test)" = "2 control:link"
ok "the uplink gets one" "$(cat /var/lib/klystrr/identity/test)" = "1 agent"
ok "the agent's state is its own" "$(stat -c '%U %a' /var/lib/klystrr/journal /var/lib/klystrr/seal | sort -u)" = "klystrr 700"
ok "the uplink's is its own" "$(stat -c '%U %a' /var/lib/klystrr/identity)" = "klystrr-net 700"
ok "sockets" "$(stat -c '%n %a %U %G' /run/klystrr/*.sock | sed 's|/run/klystrr/||' | tr '\n' '|')" = \
    "agent.sock 660 root klystrr-read|box.sock 600 klystrr root|control.sock 600 root root|link.sock 600 klystrr-net root|warden.sock 600 klystrr root|"
"$build/bin/klystrr-warden" --supervise 2>"$err"
ok "a second one refuses" -n "$(grep E_SUPERVISE_LOCKED "$err")"
cp "$build/tests/warden_client" /run/klystrr/client
for who in nobody klystrr-net; do
    setpriv --reuid $who --regid nogroup --clear-groups /run/klystrr/client state shop web 0 1 2>"$err"
    ok "$who may not connect" -n "$(grep -E 'Permission denied|E_CLOSED' "$err")"
done
setpriv --reuid klystrr --regid klystrr --clear-groups /run/klystrr/client state shop web 0 1 >"$out" 2>"$err"
ok "the agent may" -n "$(grep state=absent "$out")"

w project shop web
ok "a project is made" "$?" = 0
first=$(cat "$out")
ok "its ports are the range's first" -n "$(grep web=20000,20001 "$out")"
w project shop web
ok "making it again changes nothing" "$(cat "$out")" = "$first"
ok "folders" "$(find /srv/klystrr -printf '%M %u:%g %P|' | tr '|' '\n' | sort -k3 | tr '\n' '|')" = "$(printf '%s\n' \
    'drwx--x--x root:root ' 'drwxr-x--x root:root shop' 'drwx------ kb-shop:kb-shop shop/cache' 'drwx------ kb-shop:kb-shop shop/mirror.git' \
    'drwxr-x--- root:kp-shop shop/releases' 'drwx------ ka-shop:ka-shop shop/run' 'drwx------ ka-shop:ka-shop shop/shared' \
    'drwx--x--- kb-shop:kp-shop shop/staging' | sort -k3 | tr '\n' '|')"
w project other web
ok "another project gets other ports" -n "$(grep web=20002,20003 "$out")"
refused "no port is left" E_PROJECT_PORTS project other web api
refused "a project nobody knows" E_WARDEN_POLICY project nix web
refused "a paused project" E_WARDEN_PAUSED project off web
refused "a path as a project" E_WARDEN_REQUEST project ../etc web
refused "a path as an app" E_WARDEN_REQUEST project shop ../x
refused "a verb there is not" E_WARDEN_VERB raw 99 16 0
refused "verb 0" E_WARDEN_VERB raw 0 16 0
refused "a body too short" E_WARDEN_REQUEST raw 1 100 0
refused "a body too long" E_WARDEN_REQUEST raw 2 8192 0
refused "descriptors nobody asked for" E_WARDEN_REQUEST raw 2 72 3
refused "another project's domain" E_WARDEN_POLICY vhost shop web 80 10 other.test
refused "a domain with a directive in it" E_WARDEN_REQUEST vhost shop web 80 10 'a; load_module x'
refused "a domain with a line in it" E_WARDEN_REQUEST vhost shop web 80 10 'a
b'
refused "a wildcard" E_WARDEN_REQUEST vhost shop web 80 10 '*.shop.test'
refused "port 0" E_WARDEN_REQUEST vhost shop web 0 10 shop.test
refused "port 22" E_WARDEN_REQUEST vhost shop web 22 10 shop.test
refused "an app without ports" E_PROJECT_PORTS vhost shop api 80 10 shop.test
refused "a release that is none" E_WARDEN_REQUEST commit shop x ../../etc
refused "a staging folder outside" E_WARDEN_REQUEST commit shop ../run 7-aaaaaaaaaaaa
refused "a Node version that is none" E_WARDEN_REQUEST node ../../etc
i=0
while [ $i -lt 300 ]; do w raw 99 16 0; i=$((i + 1)); done
answers
ok "many refusals later it answers" $? = 0

# Releases.
release=7-aaaaaaaaaaaa
staging=/srv/klystrr/shop/staging
as() { user=$1; shift; setpriv --reuid "$user" --regid "$user" --clear-groups "$@"; }
as kb-shop sh -c "umask 022; mkdir $staging/$release; cat >$staging/$release/a.js" <<'JS'
require("http").createServer((q, r) => r.end("hello " + process.env.X + "\n")).listen(process.env.PORT, "127.0.0.1")
console.log("up")
JS
w commit shop $release $release
ok "staging becomes a release" "$(stat -c '%U %G %a' /srv/klystrr/shop/releases/$release)" = "kb-shop kp-shop 750"
w commit shop $release $release
ok "committing again is fine" $? = 0
as kb-shop mkdir $staging/again
refused "over another release" E_RELEASE commit shop again $release
as kb-shop ln -s /etc $staging/link
refused "a symlink as a release" E_RELEASE commit shop link 8-bbbbbbbbbbbb
mkdir /srv/klystrr/shop/staging/roots
refused "a folder that is not the build user's" E_RELEASE commit shop roots 8-bbbbbbbbbbbb
w current shop $release
ok "current" "$(readlink /srv/klystrr/shop/current)" = releases/$release
refused "current to nothing" E_RELEASE current shop 9-cccccccccccc
refused "trash of the current one" E_RELEASE_CURRENT trash shop $release
as kb-shop mkdir $staging/8
w commit shop 8 8-bbbbbbbbbbbb && w trash shop 8-bbbbbbbbbbbb
ok "trash goes back to staging" -d $staging/trash-8-bbbbbbbbbbbb
w trash shop 8-bbbbbbbbbbbb
ok "twice is fine" $? = 0
w node 22.1.0
ok "a Node staging folder" "$(stat -c %U /opt/klystrr/node/.staging-22.1.0)" = klystrr-node
refused "an empty one is not published" E_NODE publish 22.1.0
as klystrr-node sh -c 'mkdir /opt/klystrr/node/.staging-22.1.0/bin; ln -s ../x /opt/klystrr/node/.staging-22.1.0/bin/node'
w publish 22.1.0
ok "a whole one is" "$(stat -c %U /opt/klystrr/node/22.1.0)" = root
w node 22.1.0
ok "and is there then" "$(cat "$out")" = present=1

# App units.
w start shop web 0 - 5 -- releases/$release X=there PORT=20000 -- node a.js
ok "a unit starts" -n "$(grep state=running "$out")"
pid=$(sed -n 's/.*pid=\([0-9]*\).*/\1/p' "$out")
until_true 10 curl -fs http://127.0.0.1:20000/
ok "and answers" "$(curl -s http://127.0.0.1:20000/)" = "hello there"
ok "as the app's user, without capabilities, filtered" "$(stat -c %U "/proc/$pid") $(sed -n 's/^CapEff:.\(.*\)/\1/p; s/^Seccomp:.\(.*\)/\1/p' "/proc/$pid/status" | tr '\n' ' ')" = "ka-shop 0000000000000000 2 "
ok "with nothing but its own folders" "$(ls "/proc/$pid/root/srv/klystrr/shop" | tr '\n' ' ')" = "releases run shared "
ok "its output waits in the FIFO" "$(timeout 2 dd if=/run/klystrr/out/shop.web.0 bs=3 count=1 iflag=nonblock 2>/dev/null)" = up
ok "which is the agent's to read" "$(stat -c '%U %G %a' /run/klystrr/out/shop.web.0)" = "ka-shop klystrr 240"
ok "its plan is root's" "$(stat -c '%U %a' /run/klystrr/apps/shop:web:0.plan)" = "root 400"
w start shop web 0 - 5 -- . A=1 -- false
ok "starting it twice changes nothing" -n "$(grep "state=running pid=$pid " "$out")"
kill -9 "$pid"
again() { answers && grep -q 'state=running' "$out" && ! grep -q "pid=$pid " "$out"; }
until_true 10 again
ok "it is started again" -n "$(grep 'restarts=1 last=9' "$out")"
pid=$(sed -n 's/.*pid=\([0-9]*\).*/\1/p' "$out")
until_true 10 curl -fs http://127.0.0.1:20000/
kill -9 $warden
wait $warden 2>/dev/null
ok "an app outlives a killed supervisor" "$(curl -s http://127.0.0.1:20000/)" = "hello there"
supervise
answers
ok "and is taken over by the next" -n "$(grep "state=running pid=$pid " "$out")"
kill -9 "$(pgrep -P $warden -x klystrr-warden)"
until_true 10 answers
ok "a killed warden is started again, and knows its units" -n "$(grep "state=running pid=$pid " "$out")"
refused "a project whose unit runs" E_PROJECT_REMOVE remove shop
w stop shop web 0 2
ok "it is gone when a stop is answered" -n "$(grep state=absent "$out")"
ok "and nothing listens" -z "$(curl -s http://127.0.0.1:20000/)"
w start shop web 1 - 1 -- . -- sh -c 'trap "" TERM; setsid sleep 986550 & while :; do sleep 1; done'
w stop shop web 1 1 &
stop=$!
sleep 0.3
before=$(date +%s)
answers
ok "others are served while one stops" $(($(date +%s) - before)) -le 1
wait $stop
w state shop web 1 1
ok "a stubborn unit is killed" -n "$(grep state=absent "$out")"
ok "with what it left behind" -z "$(pgrep -f 'sleep 986550')"
"$build/tests/policy_write" /etc/klystrr/policy.table 'shop:20000-20003:shop.test,*.shop.test:paused' 'other:20000-20003:other.test' 'off:20000-20100:off.test:paused'
w start shop web 0 - 5 -- releases/$release X=paused PORT=20000 -- node a.js
ok "a paused project's app may start again" -n "$(grep state=running "$out")"
refused "but nothing new is released" E_WARDEN_PAUSED commit shop x 9-cccccccccccc
w stop shop web 0 2

# Removal.
as ka-shop sh -c 'mkdir -p /srv/klystrr/shop/shared/a/b; echo x >/srv/klystrr/shop/shared/a/b/c; ln -s /etc /srv/klystrr/shop/shared/etc'
rmdir /srv/klystrr/shop/staging/roots
w remove shop
ok "a project goes whole (was: $(cat "$err"))" ! -e /srv/klystrr/shop
ok "with its users" -z "$(grep -h -- '-shop:' /etc/passwd /etc/group)"
ok "and its ports" -z "$(grep shop /var/lib/klystrr/warden/ports)"
ok "and nothing else" -e /etc/hosts
w remove shop
ok "removing it twice is fine (was: $(cat "$err"))" $? = 0
printf 'garbage' >/etc/klystrr/policy.table
refused "everything while the policy is damaged" E_POLICY_TABLE project shop web
children=$(pgrep -P $warden)
ok "warden, agent and uplink are its children" "$(echo "$children" | wc -l)" = 3
kill $warden
wait $warden
ok "SIGTERM ends it" $? = 0
for child in $children; do ok "and child $child" ! -e "/proc/$child/exe"; done
rm -f "$out" "$err" "$log"
bed_result
