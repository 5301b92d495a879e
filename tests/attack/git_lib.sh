# For the git_*.sh tests: a work folder, a private CA, a Git host on a free port, and `expect`. Sourced.
# BIN: the folder with klystrr-fetch. Root is not needed.
BIN=${KLY_BIN:-${1:-build/bin}}
fetch=$BIN/klystrr-fetch
for tool in git openssl python3; do
    command -v "$tool" >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
[ -x "$fetch" ] || { echo "skipped: no $fetch (set KLY_BIN)"; exit 77; }
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
host_pid=
more_pid=
clean_up() {
    [ -z "$host_pid" ] || kill "$host_pid" 2>/dev/null
    [ -z "$more_pid" ] || kill "$more_pid" 2>/dev/null
    rm -rf "$work"
}
trap clean_up EXIT
export GIT_CONFIG_GLOBAL="$work/gitconfig" GIT_CONFIG_NOSYSTEM=1
printf '[user]\n\tname = A U Thor\n\temail = a@example.org\n[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n' >"$work/gitconfig"
# Leaks of the libraries themselves: regular expressions, broken packs, known_hosts.
printf 'leak:libpcre2\nleak:libgit2.so\nleak:libssh2\n' >"$work/lsan"
export LSAN_OPTIONS="suppressions=$work/lsan:print_suppressions=0"
passed=0
failed=0

ok() { passed=$((passed + 1)); }
bad() { failed=$((failed + 1)); echo "FAILED: $*"; sed 's/^/    /' "$work/out"; }

# expect NAME CODE COMMAND...: CODE is 0, or the E_ code on the last line.
expect() {
    name=$1 code=$2
    shift 2
    status=0
    "$@" >"$work/out" 2>&1 </dev/null || status=$?
    if [ "$code" = 0 ]; then
        [ "$status" = 0 ] && { ok; return; }
    else
        [ "$status" = 1 ] && tail -1 "$work/out" | grep -q "^klystrr-fetch: $code " && { ok; return; }
    fi
    bad "$name: wanted $code, got status $status"
}
check() {
    name=$1
    shift
    if "$@"; then ok; else bad "$name"; fi
}
result() {
    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

start_host() {
    (
        cd "$work" || exit 1
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.pem -days 2 \
            -subj /CN=test-ca -addext basicConstraints=critical,CA:TRUE
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout host.key -out host.csr -subj /CN=localhost
        printf 'subjectAltName=DNS:localhost\n' >host.ext
        openssl x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile host.ext -out host.pem
    ) >/dev/null 2>&1
    python3 "$here/git_host.py" "$work" "$work/host.pem" "$work/host.key" "$work/port" &
    host_pid=$!
    tries=0
    while [ ! -s "$work/port" ] && [ $tries -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    url="https://localhost:$(cat "$work/port")"
}

# fetch_it MODE/REPO COMMIT [options]: into a new staging folder.
fetch_it() {
    where=$1 commit=$2
    shift 2
    rm -rf "$work/staging"
    "$fetch" fetch --mirror "$work/mirror.git" --staging "$work/staging" --url "$url/$where" --ref refs/heads/main \
        --commit "$commit" --ca "$work/ca.pem" "$@"
}
