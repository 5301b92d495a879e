#!/bin/sh
# Escapes from a box, each tried by a small C program inside one (SBX-01 to 15, 18, 20, 26, 29). Needs root; no network.
#   sh tests/attack/box.sh [BUILD_DIR]
# shellcheck disable=SC2016,SC2154
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-${KLY_BUILD:-$here/../../build}}" 2>/dev/null && pwd) || { echo "SKIP: no build folder"; exit 77; }
# shellcheck source=tests/lib/bed.sh disable=SC1091,SC2034,SC2154
. "$here/../lib/bed.sh"
bed_enter "$here/box.sh" "$build"

bed_programs "$build"
bed_users
bed_project shop 64200
bed_project other 64210
"$build/tests/policy_write" /etc/klystrr/policy.table 'shop:20000-20100:shop.test' 'other:20000-20100:other.test' 'off:20000-20100:off.test:paused' || exit 1
subject=7-aaaaaaaaaaaa
staging=/srv/klystrr/shop/staging/$subject
mkdir "$staging" && cp "$build/tests/prober" "$staging/prober" && chown -R kb-shop:kb-shop "$staging"
mkdir "/srv/klystrr/shop/releases/$subject" && cp "$build/tests/prober" "/srv/klystrr/shop/releases/$subject/"
chown -R kb-shop:kp-shop "/srv/klystrr/shop/releases/$subject" && chmod 0750 "/srv/klystrr/shop/releases/$subject"

out=$(mktemp) err=$(mktemp)
chmod 644 "$out" "$err"
box() { "$build/tests/box_client" --confine "$build/bin/klystrr-confine" --project shop "$@" >"$out" 2>"$err"; }
build_box() { box --subject $subject "$@"; }
# says NAME EXPECTED: what the prober printed for it.
says() { ok "$1 → $2 (was: $(grep -- "^$1 " "$out"))" "$(grep -- "^$1 " "$out")" = "$1 $2"; }
all() { expected=$1; shift; for name; do says "$name" "$expected"; done; }
denied() { for name; do ok "refusal of $name is told" -n "$(grep "^# denied $name (" "$err")"; done; }

# SBX-01, 02, 06, 07, 10: refused, and told once.
build_box -- ./prober
all EPERM bpf keyctl add_key request_key userfaultfd perf_event_open ptrace process_vm_readv process_vm_writev pidfd_getfd \
    kexec_load init_module finit_module delete_module mount umount2 pivot_root move_mount open_tree fsopen fsmount mount_setattr \
    setns open_by_handle_at chroot swapon reboot sethostname syslog kcmp fanotify_init mknod_device \
    personality_randomize personality_read_implies_exec
all EPERM unshare_user unshare_net unshare_time clone_user clone_net clone_user_high
all EPERM tiocsti tiocsti_high tioclinux
all EPERM socket_packet socket_alg socket_vsock socket_bluetooth socket_audit socket_raw socket_raw_cloexec
all ok socket_route socket_inet socket_inet6 socket_unix unshare_files personality_0 personality_ask
all EPERM setuid setgid setgroups
denied bpf ptrace mount setns unshare clone ioctl socket mknodat personality
ok "a refusal is told once a name" "$(grep -c '^# denied socket ' "$err")" = 1
# SBX-03, 04: not there, so that libraries fall back. Newer than the list: the same.
all ENOSYS clone3 io_uring_setup io_uring_enter io_uring_register newest unknown
# SBX-05: foreign ABIs.
if [ "$(uname -m)" = x86_64 ]; then
    build_box -- ./prober x32 int80
    all SIGSYS x32 int80
fi
# The same through npm, and in the phases of the app's user (SBX-18).
for profile in release activate; do
    case $profile in release) set -- --subject $subject ;; activate) set -- --cwd "releases/$subject" ;; esac
    box --profile $profile "$@" -- ./prober bpf ptrace mount unshare_user clone_user io_uring_setup socket_packet tiocsti
    all EPERM bpf ptrace mount unshare_user clone_user socket_packet tiocsti
    all ENOSYS io_uring_setup
done

# SBX-08, 26: nobody's secrets, nobody else's tree; the live app is not there.
echo secret >/srv/klystrr/other/secret
mkdir -p /var/lib/klystrr/seal && echo secret >/var/lib/klystrr/seal/key
build_box -- ./prober open:/etc/shadow open:/etc/machine-id open:/var/lib/klystrr/seal/key open:/srv/klystrr/other open:/srv/klystrr/other/secret \
    open:/srv/klystrr/shop/run open:/srv/klystrr/shop/shared open:/srv/klystrr/shop/staging open:/root open:/run/klystrr connect:/run/klystrr/warden.sock \
    connect:/run/klystrr/box.sock open:/home/user open:/sys/kernel
for path in /etc/shadow /etc/machine-id /var/lib/klystrr/seal/key /srv/klystrr/other /srv/klystrr/other/secret /srv/klystrr/shop/run \
    /srv/klystrr/shop/shared /srv/klystrr/shop/staging /root /run/klystrr /home/user /sys/kernel; do
    says "open:$path" ENOENT
done
all ENOENT connect:/run/klystrr/warden.sock connect:/run/klystrr/box.sock
box --profile activate --cwd . -- "/srv/klystrr/shop/releases/$subject/prober" open:/srv/klystrr/shop/staging open:/srv/klystrr/shop/cache \
    open:/srv/klystrr/shop/mirror.git "write:/srv/klystrr/shop/releases/$subject/x" write:/srv/klystrr/shop/releases/x open:/proc/1/environ open:/srv/klystrr/other
all ENOENT open:/srv/klystrr/shop/staging open:/srv/klystrr/shop/cache open:/srv/klystrr/shop/mirror.git open:/proc/1/environ open:/srv/klystrr/other
all EACCES "write:/srv/klystrr/shop/releases/$subject/x" write:/srv/klystrr/shop/releases/x
# SBX-09: writing only where the profile says.
build_box -- ./prober write:/etc/x write:/usr/bin/x write:/x write:/proc/sys/kernel/hostname write:/etc/passwd write:/dev/x write:/srv/klystrr/x \
    "write:/srv/klystrr/shop/releases/$subject/fine" write:/tmp/fine write:/srv/klystrr/shop/cache/fine write:/dev/null write:/home/box/fine
for path in /etc/x /usr/bin/x /x /proc/sys/kernel/hostname /etc/passwd /dev/x /srv/klystrr/x; do
    ok "no writing to $path" -n "$(grep -E "^write:$path (EACCES|EROFS|EPERM)$" "$out")"
done
all ok "write:/srv/klystrr/shop/releases/$subject/fine" write:/tmp/fine write:/srv/klystrr/shop/cache/fine write:/dev/null write:/home/box/fine
build_box -- ls -A /tmp
ok "a box's /tmp is empty again" -z "$(cat "$out")"
ok "nothing of /tmp stays on the disk" -z "$(ls -d /srv/klystrr/shop/cache/tmp* 2>/dev/null)"
mkdir /srv/klystrr/shop/cache/tmp.box-4000000 && chown kb-shop /srv/klystrr/shop/cache/tmp.box-4000000
two=$(mktemp)
"$build/tests/box_client" --confine "$build/bin/klystrr-confine" --project shop --subject $subject -- sh -c 'echo kept >/tmp/mine; echo >/srv/klystrr/shop/cache/go; sleep 2; cat /tmp/mine' >"$two" 2>&1 &
first=$!
until_true 10 test -e /srv/klystrr/shop/cache/go
build_box -- ls -A /tmp
ok "a second box at the same time has its own /tmp" -z "$(cat "$out")"
ok "what a killed box left there is gone" ! -e /srv/klystrr/shop/cache/tmp.box-4000000
wait $first
ok "and leaves the first one's alone" -n "$(grep kept "$two")"
rm -f "$two" /srv/klystrr/shop/cache/go
# SBX-10: set-uid programs gain nothing.
build_box -- sh -c 'grep -E "^(NoNewPrivs|CapEff|CapBnd|CapPrm|Seccomp):" /proc/self/status; find /usr -xdev -perm -4000 2>/dev/null | head -n 1 | xargs -r stat -c "%A" ; id -u'
ok "no_new_privs" -n "$(grep -P '^NoNewPrivs:\t1' "$out")"
ok "no capability" "$(grep -c '0000000000000000' "$out")" = 3
ok "a filter" -n "$(grep -P '^Seccomp:\t2' "$out")"
# SBX-11: limits that hold without a controller.
build_box --file 5 -- sh -c 'head -c 20000000 /dev/zero >big; ls -l big 2>/dev/null; ulimit -c; cat /proc/self/oom_score_adj'
ok "files end at their limit" "$(stat -c %s "$staging/big" 2>/dev/null)" = 5242880
ok "no core dumps, first to be killed" "$(tail -n 2 "$out" | tr '\n' ' ')" = "0 800 "
# SBX-12: whatever was started dies with the box, and a child with an open output does not hang it.
build_box -- sh -c '(trap "" TERM; setsid sleep 986543) & setsid sh -c "sleep 986543 & sleep 986543" & sleep 0.2; exit 4'
ok "status is the command's" $? = 4
ok "strays are dead" -z "$(pgrep -f 'sleep 986543')"
box --profile activate --cwd . -- sh -c '(trap "" TERM; setsid sleep 986544) & setsid sh -c "sleep 986544 & sleep 986544" & sleep 0.2; exit 5'
ok "status is the command's without a PID namespace" $? = 5
ok "strays are dead without a PID namespace" -z "$(pgrep -f 'sleep 986544')"
before=$(date +%s)
build_box --timeout 1 --stop 1 -- sh -c 'trap "" TERM; while :; do sleep 986545; done'
ok "the time limit" $? = 124
ok "and its grace are kept" $(($(date +%s) - before)) -le 4
build_box --timeout 60 --kill 200 --stop 5 -- sh -c 'trap "echo asked; exit 0" TERM; while :; do sleep 0.1; done'
ok "the end is asked for first" "$(cat "$out")" = asked
box --profile activate --cwd . --timeout 60 --kill 200 --stop 1 -- sh -c 'trap "" TERM; setsid sh -c "trap \"\" TERM; while :; do sleep 986546; done" & while :; do sleep 1; done'
ok "a stubborn activate ends" $? = 137
ok "with all of it" -z "$(pgrep -f 986546)"
build_box --hangup 200 -- sh -c 'while :; do sleep 986547; done'
sleep 0.3
ok "a closed connection kills" -z "$(pgrep -f 986547)"
box --profile activate --cwd . --hangup 200 -- sh -c 'setsid sleep 986548 & while :; do sleep 986548; done'
sleep 0.5
ok "also without a PID namespace" -z "$(pgrep -f 986548)"
# kill -9 of confine itself takes the box along.
for profile in build activate; do
    case $profile in build) set -- --subject $subject ;; activate) set -- --profile activate --cwd . ;; esac
    box "$@" -- sh -c 'setsid sleep 986549 & while :; do sleep 986549; done' &
    client=$!
    until_true 5 pgrep -f 'sleep 986549'
    pkill -9 -P "$(pgrep -f "box_client --confine $build/bin/klystrr-confine" | tr '\n' ',' | sed 's/,$//')" klystrr-confine
    wait $client
    dead() { ! pgrep -f 'sleep 986549'; }
    until_true 5 dead
    ok "kill -9 of confine takes $profile along" $? = 0
done
# SBX-13: nobody outside is reached.
sleep 300 &
victim=$!
box --profile activate --cwd . -- "/srv/klystrr/shop/releases/$subject/prober" kill=1 "kill=$victim"
all EPERM kill=1 "kill=$victim"
kill $victim
build_box -- sh -c 'ls -d /proc/[0-9]* | wc -l'
ok "a build sees only its own processes" "$(cat "$out")" -le 5
# SBX-14, 15: descriptors and environment.
build_box --mask yes -- sh -c 'for fd in /proc/self/fd/*; do [ -e "$fd" ] && printf "%s " "${fd##*/}"; done; echo TOPSECRET >&3'
ok "descriptors 0 to 3 (was: $(head -n 1 "$out"))" -n "$(grep -E '^0 1 2 3( 4 | )?$|^0 1 2 3 mask' "$out")$(grep -E '^0 1 2 3 ' "$out")"
ok "the mask descriptor leads out" -n "$(grep 'mask: TOPSECRET' "$out")"
build_box --env A=1 --env B='x y' -- /usr/bin/env
ok "the environment is exact" "$(sort "$out" | tr '\n' '|')" = "A=1|B=x y|HOME=/home/box|LANG=C.UTF-8|PATH=/usr/local/bin:/usr/bin:/bin|"
build_box --env PATH=/usr/bin --env HOME=/tmp --env LANG=C -- /usr/bin/env
ok "what is given stays" "$(sort "$out" | tr '\n' '|')" = "HOME=/tmp|LANG=C|PATH=/usr/bin|"
# SBX-29: output can be written by name, not read back.
build_box -- sh -c 'echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdout; cat <&1'
ok "/dev/stdout" "$(cat "$out")" = out
ok "/dev/stderr" -n "$(grep '^err$' "$err")"
ok "reading back is denied" "$(grep -c -E 'Permission denied|Bad file descriptor' "$err")" = 2

# What is asked for is checked (SBX-20, 21, 30): no box then.
refused() { name=$1 code=$2; shift 2; "$@"; ok "$name: refused with $code (was: $(grep "^#" "$err"))" -n "$(grep "^# $code:" "$err")"; ok "$name: nothing ran" -z "$(cat "$out")"; }
refused "a path as project" E_BOX_START box --project ../etc --subject $subject -- echo ran
refused "a project nobody knows" E_BOX_POLICY box --project nix --subject $subject -- echo ran
refused "a paused project" E_BOX_POLICY box --project off --subject $subject -- echo ran
refused "a path as subject" E_BOX_START box --subject ../x -- echo ran
refused "a hidden subject" E_BOX_START box --subject .ssh -- echo ran
refused "a subject that is not there" E_BOX_MOUNT box --subject nowhere -- echo ran
refused "no subject" E_BOX_START box -- echo ran
refused "an app over the socket" E_BOX_START box --profile app -- echo ran
refused "an unknown profile" E_BOX_START box --profile 99 -- echo ran
refused "a Node path" E_BOX_START box --subject $subject --node ../../x -- echo ran
refused "a Node that is not there" E_BOX_MOUNT box --subject $subject --node 99.0.0 -- echo ran
refused "no time" E_BOX_START box --subject $subject --timeout 0 -- echo ran
refused "too much time" E_BOX_START box --subject $subject --timeout 7201 -- echo ran
refused "a folder outside" E_BOX_COMMAND build_box --cwd ../.. -- echo ran
refused "a folder that is not there" E_BOX_CWD build_box --cwd nowhere -- echo ran
refused "a program that is not there" E_BOX_EXEC build_box -- no-such-program
ln -s /etc "$staging/../link"
refused "a symlink as subject" E_BOX_MOUNT box --subject link -- echo ran
refused "a user below 100" E_BOX_USER sh -c "sed -i 's/^kb-other:x:[0-9]*/kb-other:x:0/' /etc/passwd; '$build/tests/box_client' --confine '$build/bin/klystrr-confine' --project other --subject x -- echo ran >$out 2>$err"
mv "$libexec/seccomp/build.bpf" "$libexec/seccomp/kept"
refused "no filter" E_BOX_FILTER build_box -- echo ran
: >"$libexec/seccomp/build.bpf"
refused "an empty filter" E_BOX_FILTER build_box -- echo ran
printf 'not a filter at all!!!!!' >"$libexec/seccomp/build.bpf"
refused "a broken filter" E_BOX_FILTER build_box -- echo ran
cp "$libexec/seccomp/kept" "$libexec/seccomp/build.bpf" && chmod 666 "$libexec/seccomp/build.bpf"
refused "a filter that others may write" E_BOX_FILTER build_box -- echo ran
chmod 644 "$libexec/seccomp/build.bpf"
build_box -- echo ran
ok "and with it all is well again" "$(cat "$out")" = ran
rm -f "$out" "$err"
bed_result
