#!/bin/sh
# Our network code against others': interop.sh NET_PEER python|node|curl|openssl
# 77: the peer is not installed (said on stdout); 0: both understood each other.
set -eu
peer=$1
other=$2
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d)
pids=
cleanup() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
skip() { echo "skipped: $1"; exit 77; }
die() { echo "FAILED: $1" >&2; exit 1; }

# start OUTFILE COMMAND…: runs it and waits for the port it prints; the port is in $port.
start() {
    out=$1
    shift
    "$@" >"$out" 2>"$out.err" &
    pids="$pids $!"
    tries=0
    until [ -s "$out" ]; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || die "$* printed no port: $(cat "$out.err")"
        sleep 0.1
    done
    port=$(head -n 1 "$out")
}

# Our client against their server and their client against ours, in clear and over TLS. $1: command prefix of theirs.
both_ways() {
    start "$work/theirs" "$@" serve
    "$peer" ws "$port" / || die "our client against $other"
    start "$work/theirs-tls" "$@" serve "$work/pki/server.pem" "$work/pki/server.key"
    "$peer" ws "$port" / "$work/pki/ca.pem" || die "our client against $other over TLS"
    start "$work/ours" "$peer" serve
    "$@" client "ws://localhost:$port/" || die "$other against our server"
    start "$work/ours-tls" "$peer" serve "$work/pki/server.pem" "$work/pki/server.key"
    "$@" client "wss://localhost:$port/" "$work/pki/ca.pem" || die "$other against our server over TLS"
}

"$peer" pki "$work/pki"
case $other in
python)
    python=
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'import websockets' 2>/dev/null; then python=$candidate; fi
    done
    [ -n "$python" ] || skip "python3-websockets is not installed"
    both_ways "$python" "$here/peer.py"
    ;;
node)
    command -v node >/dev/null || skip "node is not installed"
    modules=${KLY_NODE_MODULES:-$HOME/.cache/klystrr-interop}
    if ! NODE_PATH="$modules/node_modules:/usr/share/nodejs" node -e 'require("ws")' 2>/dev/null; then
        command -v npm >/dev/null || skip "npm's package ws is not installed"
        timeout 60 npm install --silent --no-save --prefix "$modules" ws >/dev/null 2>&1 || skip "npm's package ws is not installed and cannot be fetched"
    fi
    NODE_PATH="$modules/node_modules:/usr/share/nodejs"
    export NODE_PATH
    both_ways node "$here/peer.cjs"
    ;;
curl)
    command -v curl >/dev/null || skip "curl is not installed"
    start "$work/ours" "$peer" serve
    clear=$port
    start "$work/ours-tls" "$peer" serve "$work/pki/server.pem" "$work/pki/server.key"
    for url in "http://localhost:$clear" "https://localhost:$port"; do
        ask="curl -sS --fail --max-time 20 --cacert $work/pki/ca.pem"
        [ "$($ask "$url/")" = / ] || die "GET $url"
        [ "$($ask "$url/" "$url/" "$url/")" = /// ] || die "three GETs on one connection"
        [ "$(curl -sS --max-time 20 --cacert "$work/pki/ca.pem" -o /dev/null -w '%{http_code}' "$url/none")" = 404 ] || die "404"
        head -c 1500000 /dev/urandom >"$work/body"
        $ask --data-binary "@$work/body" -o "$work/back" "$url/echo" || die "POST"
        cmp "$work/body" "$work/back" || die "the body did not come back"
        $ask -H 'Transfer-Encoding: chunked' --data-binary "@$work/body" -o "$work/back" "$url/echo" || die "chunked POST"
        cmp "$work/body" "$work/back" || die "the chunked body did not come back"
        [ "$($ask "$url/stream" | wc -c)" -ge 5000000 ] || die "stream"
        [ "$(curl -sS --max-time 20 --cacert "$work/pki/ca.pem" -o /dev/null -w '%{http_code}' -X BREW "$url/")" = 501 ] || die "501"
        $ask -I "$url/" >/dev/null || die "HEAD"
    done
    ;;
openssl)
    command -v openssl >/dev/null || skip "openssl is not installed"
    start "$work/ours-tls" "$peer" serve "$work/pki/server.pem" "$work/pki/server.key"
    shake() { echo | timeout 20 openssl s_client -connect "localhost:$port" -servername localhost -CAfile "$work/pki/ca.pem" -verify_return_error "$@" >"$work/log" 2>&1; }
    shake || { cat "$work/log"; die "an ordinary TLS 1.2 client is refused"; }
    grep -q 'TLSv1.2' "$work/log" || die "not TLS 1.2"
    grep -q 'ECDHE-ECDSA' "$work/log" || die "no ephemeral key"
    # Each of these must fail, and for the reason meant: SECLEVEL=0 lets openssl offer the old things at all.
    for bad in "-tls1 -cipher DEFAULT@SECLEVEL=0" "-tls1_1 -cipher DEFAULT@SECLEVEL=0" "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA256" \
        "-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA" "-tls1_2 -cipher AES128-GCM-SHA256" "-tls1_2 -curves secp521r1" "-tls1_3"; do
        # shellcheck disable=SC2086
        if shake $bad; then die "taken: $bad"; fi
        grep -Eq 'alert (protocol version|handshake failure)' "$work/log" || { cat "$work/log"; die "refused for another reason: $bad"; }
    done
    # And as the other server: certificates that are wrong in one way each.
    start_other() {
        (cd "$work/pki" && exec openssl s_server -accept "127.0.0.1:$1" -cert server.pem -key server.key -quiet -www -tls1_2) >/dev/null 2>&1 &
        pids="$pids $!"
    }
    other_port=$((20000 + $$ % 10000))
    start_other $other_port
    tries=0
    until "$peer" get $other_port / "$work/pki/ca.pem" >"$work/page" 2>"$work/err"; do
        tries=$((tries + 1))
        [ $tries -lt 50 ] || { cat "$work/err"; die "our client against openssl's server"; }
        sleep 0.1
    done
    grep -q 's_server' "$work/page" || die "another page than openssl's"
    if "$peer" get $other_port / "$here/../../LICENSE" >/dev/null 2>"$work/err"; then die "a CA file that is none was taken"; fi
    "$peer" pki "$work/other"
    if "$peer" get $other_port / "$work/other/ca.pem" >/dev/null 2>"$work/err"; then die "another CA was taken"; fi
    grep -q E_TLS_CA "$work/err" || die "another CA, but not named so: $(cat "$work/err")"
    ;;
*)
    die "no such peer: $other"
    ;;
esac
echo "$other: understood"
