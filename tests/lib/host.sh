# host.sh: a throw-away host without systemd: this machine's own files under an overlay, with mount and PID namespaces of
# its own, and a network of its own whose way out is slirp4netns. What happens in it stays in it. Sourced; needs root.
#
#   host_new DIR [net]       make and boot a host whose changes lie under DIR; "net": with loopback only
#   host_run DIR CMD…        run a command in it
#   host_crash DIR           everything in it dies at once (the files stay: host_boot DIR starts it again)
#   host_end DIR             crash it and remove DIR

host_new() {
  mkdir -p "$1/upper" "$1/work" "$1/root"
  host_boot "$1" "${2:+offline}"
}

host_boot() { # host_boot DIR [offline]
  # shellcheck disable=SC2016
  setsid unshare --mount --pid --ipc --uts --net --fork --kill-child --propagation private sh -ec '
    dir=$1
    mount -t overlay overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
    cd "$dir/root"
    mount -t proc proc proc
    mount --rbind /dev dev
    mount -t tmpfs -o mode=755 tmpfs run
    mount -t tmpfs tmpfs dev/shm
    mount --rbind -o ro /sys sys
    mkdir -p run/lock
    rm -f etc/resolv.conf
    echo nameserver 10.0.2.3 >etc/resolv.conf
    ip link set lo up
    exec chroot "$dir/root" python3 -c "
import os, time
open(\"/run/host-ready\", \"w\").close()
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.05)
"' sh "$1" </dev/null >>"$1/boot.log" 2>&1 &
  host_outer=$!
  host_left=100
  while :; do
    host_init=$(awk '{ print $1 }' "/proc/$host_outer/task/$host_outer/children" 2>/dev/null || true)
    if [ -n "$host_init" ] && [ -e "/proc/$host_init/root/run/host-ready" ]; then break; fi
    host_left=$((host_left - 1))
    if [ "$host_left" = 0 ]; then
      cat "$1/boot.log" >&2
      return 1
    fi
    sleep 0.1
  done
  printf '%s\n' "$host_init" >"$1/init"
  printf '%s\n' "$host_outer" >"$1/outer"
  [ "${2:-}" = offline ] || host_online "$1"
}

# The way out: Debian's and npm's registries, nothing inside; ends with the host.
host_online() {
  setsid slirp4netns --configure --mtu=65520 --disable-host-loopback "$(cat "$1/init")" tap0 </dev/null >>"$1/boot.log" 2>&1 &
  printf '%s\n' "$!" >"$1/slirp"
  host_left=100
  until nsenter -t "$(cat "$1/init")" -n ip -4 -br addr show tap0 2>/dev/null | grep -q 10.0.2; do
    host_left=$((host_left - 1))
    if [ "$host_left" = 0 ]; then
      cat "$1/boot.log" >&2
      return 1
    fi
    sleep 0.1
  done
}

host_run() {
  host_dir=$1
  shift
  # shellcheck disable=SC2086
  nsenter -t "$(cat "$host_dir/init")" -m -p -i -u -n -r -w -- env -i HOME=/root LC_ALL=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${HOST_ENV:-} "$@"
}

host_crash() {
  if [ -e "$1/slirp" ]; then
    kill "$(cat "$1/slirp")" 2>/dev/null || true
    rm -f "$1/slirp"
  fi
  kill -KILL "$(cat "$1/init")" 2>/dev/null || true
  host_left=100
  while kill -0 "$(cat "$1/outer")" 2>/dev/null && [ "$host_left" -gt 0 ]; do
    sleep 0.1
    host_left=$((host_left - 1))
  done
}

host_end() {
  [ -e "$1/init" ] || return 0
  host_crash "$1"
  rm -rf "$1"
}
