# shellcheck disable=SC2016,SC3045
# Sourced by tests that need Klystrr's folders and users as root, without changing the machine: everything in a mount
# namespace with its own /etc, /run/klystrr, /srv/klystrr, /var/lib/klystrr and /opt/klystrr, and in a PID namespace: users
# made there share their numbers with others of this machine, and removing a project kills all that its users run. POSIX sh.
# A test calls `bed_enter "$0" "$@"` first; it comes back inside.

bed_skip() {
    echo "SKIP: $1"
    exit 77
}

bed_enter() {
    [ "$(id -u)" = 0 ] || bed_skip "needs root"
    if [ "${BED_INSIDE:-}" != yes ]; then
        unshare -m true 2>/dev/null || bed_skip "no mount namespaces here"
        # shellcheck disable=SC2086
        BED_INSIDE=yes exec unshare -m -p -f --kill-child --mount-proc --propagation private ${BED_UNSHARE:-} -- sh "$@"
    fi
    bed_mounts
}

bed_mounts() {
    copy=$(mktemp -d)
    mount -t tmpfs -o mode=0755 bed "$copy"
    cp -a /etc/. "$copy"/
    mount --bind "$copy" /etc
    umount -l "$copy" 2>/dev/null
    mount --make-rprivate / 2>/dev/null
    mkdir -p /etc/klystrr
    for folder in /run/klystrr /srv/klystrr /var/lib/klystrr /opt/klystrr; do
        mkdir -p "$folder"
        mount -t tmpfs -o mode=0755 bed "$folder"
    done
    rmdir "$copy" 2>/dev/null
    chmod 0711 /srv/klystrr
    ulimit -n 65536 2>/dev/null || true
}

# The users of sysusers.d, with numbers that nothing here has.
bed_users() {
    number=64100
    for name in klystrr klystrr-net klystrr-log klystrr-probe klystrr-node klystrr-read; do
        bed_user "$name" $number
        number=$((number + 1))
    done
}

bed_user() {
    grep -q "^$1:" /etc/group || echo "$1:x:$2:" >>/etc/group
    grep -q "^$1:" /etc/passwd || echo "$1:x:$2:$2::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
}

# bed_project NAME NUMBER: kb-, ka- and kp- of a project, and its folders, as the warden makes them.
bed_project() {
    bed_user "kb-$1" "$2"
    bed_user "ka-$1" $(($2 + 1))
    grep -q "^kp-$1:" /etc/group || echo "kp-$1:x:$(($2 + 2)):kb-$1,ka-$1" >>/etc/group
    root=/srv/klystrr/$1
    mkdir -p "$root"
    chmod 0751 "$root"
    for folder in mirror.git cache; do
        mkdir -p "$root/$folder" && chown "kb-$1:kb-$1" "$root/$folder" && chmod 0700 "$root/$folder"
    done
    mkdir -p "$root/staging" && chown "kb-$1:kp-$1" "$root/staging" && chmod 0710 "$root/staging"
    for folder in shared run; do
        mkdir -p "$root/$folder" && chown "ka-$1:ka-$1" "$root/$folder" && chmod 0700 "$root/$folder"
    done
    mkdir -p "$root/releases" && chown "root:kp-$1" "$root/releases" && chmod 0750 "$root/releases"
}

passed=0
failed=0
# ok WHAT EXPRESSION…: the rest of the arguments is test(1)'s.
ok() {
    what=$1
    shift
    if test "$@"; then
        passed=$((passed + 1))
        echo "ok - $what"
    else
        failed=$((failed + 1))
        echo "not ok - $what"
    fi
}

# bed_programs BUILD: this build's programs where they look for each other; agent and uplink only sleep.
bed_programs() {
    libexec=$(strings "$1/bin/klystrr-confine" | sed -n 's|^\(.*/libexec/klystrr\)/.*|\1|p' | head -n 1)
    mkdir -p "$libexec" && mount -t tmpfs bed "$libexec" && mkdir "$libexec/seccomp"
    cp "$1"/seccomp/*.bpf "$libexec/seccomp/"
    cp "$1/bin/klystrr-confine" "$1/bin/klystrr-warden" "$1/bin/klystrr-supervise" "$libexec/"
    for name in agent uplink; do
        printf '#!/bin/sh\necho "$LISTEN_FDS $LISTEN_FDNAMES" >/var/lib/klystrr/%s/test\nexec sleep 1000\n' "$(bed_state $name)" >"$libexec/klystrr-$name"
        chmod 755 "$libexec/klystrr-$name"
    done
}

bed_state() {
    if [ "$1" = agent ]; then echo journal; else echo identity; fi
}

# until_true SECONDS COMMAND…: polls; status of the last try.
until_true() {
    tries=$(($1 * 20))
    shift
    while [ $tries -gt 0 ]; do
        "$@" >/dev/null 2>&1 && return 0
        tries=$((tries - 1))
        sleep 0.05
    done
    return 1
}

bed_result() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
