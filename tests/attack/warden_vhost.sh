#!/bin/sh
# Vhosts with a real nginx, in a mount and network namespace of the test's own (SBX-22, 23).
#   sh tests/attack/warden_vhost.sh [BUILD_DIR]
# shellcheck disable=SC2034,SC2119,SC2120
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-${KLY_BUILD:-$here/../../build}}" 2>/dev/null && pwd) || { echo "SKIP: no build folder"; exit 77; }
# shellcheck source=tests/lib/bed.sh disable=SC1091,SC2034,SC2154
. "$here/../lib/bed.sh"
BED_UNSHARE=-n
bed_enter "$here/warden_vhost.sh" "$build"
command -v nginx >/dev/null || bed_skip "no nginx"
command -v python3 >/dev/null || bed_skip "no python3"
ip link set lo up
for folder in /var/log/nginx /var/lib/nginx /run; do
    keep=$(mktemp -d)
    [ $folder != /run ] || { mount --bind /run/klystrr "$keep"; }
    mount -t tmpfs -o mode=0755 bed $folder
    [ $folder != /run ] || { mkdir /run/klystrr && mount --bind "$keep" /run/klystrr && umount -l "$keep"; }
    rmdir "$keep"
done
rm -f /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*
bed_programs "$build"
bed_users
"$build/tests/policy_write" /etc/klystrr/policy.table 'shop:20000-20100:shop.test,*.shop.test'
out=$(mktemp) err=$(mktemp)
w() { "$build/tests/warden_client" "$@" >"$out" 2>"$err"; }
refused() { name=$1 code=$2; shift 2; w "$@"; ok "$name: refused with $code (was: $(cat "$err"))" -n "$(grep "^$code:" "$err")"; }
"$build/bin/klystrr-warden" --supervise 2>/dev/null &
warden=$!
up() { w state shop web 0 1; }
until_true 5 up
w project shop web api
python3 - <<'PY' &
import http.server, threading
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = ("%d %s\n" % (self.server.server_port, {k.lower(): v for k, v in self.headers.items()})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
for port in (20000, 20001):
    threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever).start()
PY
apps=$!
until_true 5 curl -fs http://127.0.0.1:20001/
file=/etc/nginx/conf.d/klystrr-shop.web.conf
ask() { curl -s -m 5 -i -H "Host: ${2:-shop.test}" "http://${1:-127.0.0.1}/x"; }
header() { ask "$@" | tr -d '\r' | sed -n "s/^$name: //p"; }
slot() { name=X-Klystrr-Slot; header "$@"; }
vhost() { name=X-Klystrr-Vhost; header "$@"; }

w vhost shop web 80 10 shop.test www.shop.test
ok "a first vhost is new, and nginx starts (was: $(cat "$err"))" -n "$(grep changed=1 "$out")"
generation=$(sed 's/.*generation=//' "$out")
answering() { [ "$(vhost)" = "$generation" ]; }
until_true 5 answering
ok "the running nginx names its generation" $? = 0
ok "blue is served" "$(slot)" = blue
ok "by its port" -n "$(ask | grep '^20000 ')"
ok "also on IPv6, also by the second name" "$(slot '[::1]' www.shop.test)" = blue
w vhost shop web 80 10 shop.test www.shop.test
ok "the same fields change nothing" "$(cat "$out")" = "changed=0 generation=$generation"
w flag shop web green
ok "the flag switches at once, without a reload" "$(slot) $(ask | sed -n 's/^\(2000.\) .*/\1/p')" = "green 20001"
w flag shop web blue
ok "and back" "$(slot)" = blue
ip addr add 10.9.9.9/32 dev lo
curl -s -i -H 'Host: shop.test' --interface 10.9.9.9 http://10.9.9.9/ | tr -d '\r' >"$out"
ok "others are told neither slot nor generation" -z "$(grep -i '^X-Klystrr' "$out")"
ok "forwarded headers" -n "$(grep "'x-real-ip': '10.9.9.9'" "$out" | grep "'x-forwarded-proto': 'http'" | grep "'host': 'shop.test'")"
curl -s -H 'Host: shop.test' -H 'Connection: Upgrade' -H 'Upgrade: websocket' http://127.0.0.1/ >"$out"
ok "an upgrade is passed on" -n "$(grep "'upgrade': 'websocket'" "$out" | grep "'connection': 'upgrade'")"
ok "a plain request is kept alive" -z "$(ask | grep "'connection'")"

before=$(md5sum <$file)
echo 'server { listen 80; server_name other.test "api.shop.test"; }' >/etc/nginx/sites-enabled/other
refused "a name that another file serves" E_VHOST_TAKEN vhost shop web 80 10 shop.test api.shop.test
ok "that file is named" -n "$(grep /etc/nginx/sites-enabled/other "$err")"
ok "and nothing changed" "$(md5sum <$file)" = "$before"
echo 'server { server_name .api.shop.test; }' >/etc/nginx/sites-enabled/other
refused "a name that another file's dot includes" E_VHOST_TAKEN vhost shop web 80 10 shop.test api.shop.test
ok "that file is named, too" -n "$(grep /etc/nginx/sites-enabled/other "$err")"
refused "the same from an app of the same project" E_VHOST_TAKEN vhost shop api 80 10 www.shop.test
echo 'server { listen 443; server_name api.shop.test; } # server { server_name shop.test; }' >/etc/nginx/sites-enabled/other
w vhost shop web 80 10 shop.test api.shop.test
ok "on another port it is no conflict (was: $(cat "$err"))" -n "$(grep changed=1 "$out")"
generation=$(sed 's/.*generation=//' "$out")
until_true 5 answering
ok "and it is in force" "$(slot 127.0.0.1 api.shop.test)" = blue
before=$(md5sum <$file)
echo 'server { nonsense; }' >/etc/nginx/sites-enabled/other
refused "while a stranger's file is broken" E_NGINX_CONFIG vhost shop web 80 11 shop.test
ok "the file and its line are named" -n "$(grep '/etc/nginx/sites-enabled/other:1' "$err")"
ok "ours is as it was" "$(md5sum <$file)" = "$before"
w flag shop web green
ok "and switching goes on" "$(slot)" = green
rm /etc/nginx/sites-enabled/other
# A file that only our own addition breaks: the same upstream, defined by somebody who sorts after us.
echo 'upstream klystrr_shop.api_blue { server 127.0.0.1:1; }' >/etc/nginx/sites-enabled/clash
refused "what nginx refuses" E_VHOST_TEST vhost shop api 80 10 new.shop.test
ok "is taken away again" ! -e /etc/nginx/conf.d/klystrr-shop.api.conf
rm /etc/nginx/sites-enabled/clash
echo 'upstream klystrr_shop.web_blue { server 127.0.0.1:1; }' >/etc/nginx/sites-enabled/clash
mv $file /tmp/kept.conf && w vhost shop web 80 12 shop.test
ok "a clash from the start is told" -n "$(grep E_VHOST_TEST "$err")"
rm /etc/nginx/sites-enabled/clash && mv /tmp/kept.conf $file
ok "old and new still answer" "$(slot)" = green
sed -i 's|include /etc/nginx/conf.d|#include /etc/nginx/conf.d|' /etc/nginx/nginx.conf
refused "a folder that nginx does not read" E_VHOST_INCLUDE vhost shop api 80 10 new.shop.test
sed -i 's|#include /etc/nginx/conf.d|include /etc/nginx/conf.d|' /etc/nginx/nginx.conf
echo '# mine' >/etc/nginx/conf.d/klystrr-shop.api.conf
refused "a file that is not ours" E_VHOST_FOREIGN vhost shop api 80 10 new.shop.test
refused "nor dropped" E_VHOST_FOREIGN vhost-drop shop api
ok "stays" "$(cat /etc/nginx/conf.d/klystrr-shop.api.conf)" = '# mine'
rm /etc/nginx/conf.d/klystrr-shop.api.conf
w vhost-drop shop web
ok "dropping removes file and flag" -z "$(find /etc/nginx/conf.d /run/klystrr/sw -name "*shop*")"
w vhost-drop shop web
ok "twice is fine" $? = 0
kill "$(cat /run/nginx.pid)" $apps $warden
wait $warden
rm -f "$out" "$err"
bed_result
