#!/bin/sh
# shellcheck disable=SC1091,SC2154,SC2016,SC2012 # git_lib.inc sets the variables
# klystrr-fetch over ssh, against a real sshd on loopback: pinned host keys only, never trust on first use (GIT-13).
. "$(dirname "$0")/git_lib.inc"
sshd=$(command -v sshd || echo /usr/sbin/sshd)
[ -x "$sshd" ] || { echo "skipped: no sshd (openssh-server)"; exit 77; }
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd

git init -q "$work/app"
(cd "$work/app" && echo one >a && git add a && git commit -qm first) >/dev/null
git clone -q --bare "$work/app" "$work/app.git"
head=$(git -C "$work/app" rev-parse main)
# No RSA: libssh2 before 1.11 signs with it by SHA-1 only, which sshd refuses.
for kind in ed25519 ecdsa; do
    ssh-keygen -q -t $kind -N '' -f "$work/host_$kind"
done
ssh-keygen -q -t ed25519 -N '' -f "$work/other_host"
ssh-keygen -q -t ed25519 -N '' -f "$work/user"
ssh-keygen -q -t ed25519 -N '' -f "$work/stranger"
cp "$work/user.pub" "$work/authorized"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$work/sshd_config" <<END
Port $port
ListenAddress 127.0.0.1
HostKey $work/host_ed25519
HostKey $work/host_ecdsa
AuthorizedKeysFile $work/authorized
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
END
"$sshd" -D -e -f "$work/sshd_config" 2>"$work/sshd.log" &
# shellcheck disable=SC2034 # git_lib.inc ends it
host_pid=$!
tries=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)" 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 50 ] || { echo "skipped: sshd does not start: $(tail -1 "$work/sshd.log")"; exit 77; }
    sleep 0.1
done
user=$(id -un)

# over_ssh KEYFILE KNOWN_HOSTS
over_ssh() {
    rm -rf "$work/staging"
    "$fetch" fetch --mirror "$work/mirror.git" --staging "$work/staging" --url "ssh://$user@127.0.0.1:$port$work/app.git" \
        --ref refs/heads/main --commit "$head" --credential-fd 7 --known-hosts-fd 8 --stall 20 7<"$1" 8<"$2"
}
cut -d' ' -f1,2 "$work/host_ed25519.pub" >"$work/known_ed25519"
cut -d' ' -f1,2 "$work/host_ecdsa.pub" >"$work/known_ecdsa"
cut -d' ' -f1,2 "$work/other_host.pub" >"$work/known_other"
: >"$work/known_none"

expect "fetches with a pinned ed25519 key" 0 over_ssh "$work/user" "$work/known_ed25519"
check "the files" test "$(cat "$work/staging/a")" = one
expect "fetches with a pinned ecdsa key" 0 over_ssh "$work/user" "$work/known_ecdsa"
expect "refuses another host key (GIT-13)" E_GIT_CERTIFICATE over_ssh "$work/user" "$work/known_other"
expect "refuses without pinned keys (GIT-13)" E_GIT_CERTIFICATE over_ssh "$work/user" "$work/known_none"
expect "refuses a key that the host does not take" E_GIT_AUTH over_ssh "$work/stranger" "$work/known_ed25519"
expect "refuses what is no key" E_GIT_AUTH over_ssh "$work/known_ecdsa" "$work/known_ed25519"
check "leaves no known_hosts file" sh -c "! ls -d /tmp/klystrr-fetch-* 2>/dev/null | grep -q ."
result
