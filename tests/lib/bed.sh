# Sourced by tests that need Klystrr's folders and users as root, without changing the machine: everything in a mount
# namespace with its own /etc, /run/klystrr, /srv/klystrr, /var/lib/klystrr and /opt/klystrr. POSIX sh.
#   BED_BIN     where the programs were built (default: ../../build/bin from the test)
# A test calls `bed_enter "$0" "$@"` first; it comes back inside.

bed_skip() {
    echo "SKIP: $1"
    exit 77
}

bed_enter() {
    [ "$(id -u)" = 0 ] || bed_skip "needs root"
    if [ "${BED_INSIDE:-}" != yes ]; then
        unshare -m true 2>/dev/null || bed_skip "no mount namespaces here"
        BED_INSIDE=yes exec unshare -m --propagation private ${BED_UNSHARE:-} -- sh "$@"
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
# ok WHAT STATUS…: counts; the rest of the arguments is a test(1) expression.
ok() {
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}

bed_result() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}
