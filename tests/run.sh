#!/bin/sh
# run.sh [--long] [--only WORD]: installs what the tests need, builds, runs them all, and ends with one line
# "N passed, N failed, N skipped". --long gives the campaigns of tests/long hours instead of minutes. --only runs the
# scripts whose name holds WORD. As root, on Debian 12 or 13.
#
# A test script ends with 0 (passed), 77 (skipped: the reason is its last line) or else (failed). One that prints lines
# "ok - name", "not ok - name" or "skip - name: reason" is counted by these lines.
set -u
umask 022
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root" || exit 1
long=0 only=
limit=1500 # seconds a script may take
while [ $# -gt 0 ]; do
  case $1 in
    --long) long=1 limit=10800;;
    --only) only=${2:?--only needs a word}; shift;;
    *) sed -n 2,8p "$0"; exit 2;;
  esac
  shift
done
[ "$(id -u)" = 0 ] || { echo "run.sh needs root: sudo sh tests/run.sh"; exit 2; }

work=$(mktemp -d /var/tmp/klystrr-tests.XXXXXX)
export KLY_TEST_WORK="$work" KLY_TEST_LONG="$long" KLY_ROOT="$root"
export KLY_BUILD="$work/release" KLY_BUILD_DEV="$work/dev" KLY_SHARED="$root/../shared"
passed=0 failed=0 skipped=0 began=$(date +%s)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
say() { printf '[%4ds] %s\n' "$(($(date +%s) - began))" "$*"; }
pass() { passed=$((passed + 1)); }
fail() { failed=$((failed + 1)); say "FAILED: $1"; }
skip() { skipped=$((skipped + 1)); say "skipped: $1: $2"; }

# ---- what is needed -------------------------------------------------------------------------------------------------
packages="gcc g++ make clang libc6-dev cmake ninja-build pkgconf ccache libuv1-dev libmbedtls-dev libgit2-dev libcjson-dev libseccomp-dev
  libwslay-dev zlib1g-dev libsqlite3-dev libargon2-dev libcmocka-dev nginx-light fcgiwrap git openssl openssh-server openssh-client
  ca-certificates curl procps passwd python3 python3-websockets shellcheck binutils iproute2 util-linux strace hostname slirp4netns"
# shellcheck disable=SC1091
case $(. /etc/os-release && echo "$VERSION_ID") in 12) packages="$packages node-llhttp libclang-rt-14-dev";; *) packages="$packages libllhttp-dev libclang-rt-19-dev";; esac
command -v node >/dev/null || packages="$packages nodejs"
command -v npm >/dev/null || packages="$packages npm"
install_packages() {
  missing=
  for p in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
  done
  [ -n "$missing" ] || return 0
  say "installing$missing"
  # shellcheck disable=SC2086
  apt-get -qq update && apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install $missing
}
install_packages >"$work/apt.log" 2>&1 || { tail -20 "$work/apt.log"; echo "the packages could not be installed"; fail packages; }

# ---- build ----------------------------------------------------------------------------------------------------------
build() { # build NAME CMAKE-ARG…
  name=$1
  shift
  say "building $name"
  if ! { cmake -S "$root" -B "$work/$name" -G Ninja -DKLY_WERROR=ON -DCMAKE_C_COMPILER_LAUNCHER=ccache "$@" &&
    ninja -C "$work/$name"; } >"$work/$name.log" 2>&1; then
    grep -E 'error|warning|FAILED' "$work/$name.log" | head -30
    tail -5 "$work/$name.log"
    fail "build $name"
    return 1
  fi
  pass
}
count_ctest() { # the numbers of a JUnit file
  for word in tests failures skipped disabled; do
    eval "n_$word=$(sed -n "s/.*<testsuite.*[[:space:]]$word=\"\([0-9]*\)\".*/\1/p; /<testsuite\$/,/>/s/.*[[:space:]]$word=\"\([0-9]*\)\".*/\1/p" "$1" | head -1)"
  done
  failed=$((failed + ${n_failures:-0}))
  skipped=$((skipped + ${n_skipped:-0} + ${n_disabled:-0}))
  passed=$((passed + ${n_tests:-0} - ${n_failures:-0} - ${n_skipped:-0} - ${n_disabled:-0}))
}
units() {
  say "unit tests and fuzz corpora ($1)"
  ctest --test-dir "$work/$1" -j "$(nproc)" --output-on-failure --output-junit "$work/$1.xml" >"$work/ctest-$1.log" 2>&1 ||
    grep -vE '^ *[0-9]+/[0-9]+ Test .*Passed|^ +Start' "$work/ctest-$1.log" | tail -60
  if [ -s "$work/$1.xml" ]; then count_ctest "$work/$1.xml"; else fail "ctest $1"; fi
}

# ---- scripts ----------------------------------------------------------------------------------------------------------
log_of() { printf '%s/%s.log' "$work" "$(printf '%s' "$*" | tr -c 'a-zA-Z0-9\n' '_')"; }
execute() { # execute FILE [ARG…]: runs it; its output, exit status and seconds lie beside each other
  out=$(log_of "$@") started=$(date +%s)
  case $1 in *.py) set -- python3 "$@";; *.mjs) set -- node "$@";; *) set -- sh "$@";; esac
  timeout -k 10 "$limit" "$@" >"$out" 2>&1 </dev/null
  echo "$? $(($(date +%s) - started))" >"$out.end"
}
report() { # report FILE [ARG…]: counts what execute left
  out=$(log_of "$@")
  read -r code seconds <"$out.end"
  name=${1#"$root"/}
  shift
  name="$name${1:+ $*}"
  ok=$(grep -c '^ok - ' "$out")
  not_ok=$(grep -c '^not ok - ' "$out")
  skips=$(grep -c '^skip - ' "$out")
  say "$name: exit $code, $ok ok, $not_ok not ok, $skips skipped ($seconds s)"
  if [ "$((ok + not_ok + skips))" -gt 0 ]; then
    passed=$((passed + ok)) failed=$((failed + not_ok)) skipped=$((skipped + skips))
    grep -E -A8 '^(not ok|skip) - ' "$out" | grep -vE '^ok - '
    if [ "$not_ok" -gt 0 ]; then tail -60 "$out" | sed 's/^/    /'
    elif [ "$code" != 0 ] && [ "$code" != 77 ]; then fail "$name ended with $code"; tail -40 "$out" | sed 's/^/    /'; fi
    return 0
  fi
  case $code in
    0) pass;;
    77) skip "$name" "$(tail -1 "$out")";;
    *) fail "$name"; tail -60 "$out" | sed 's/^/    /';;
  esac
}
wanted() { case $only in '') return 0;; *) case "$*" in *"$only"*) return 0;; *) return 1;; esac;; esac; }
script() { wanted "$@" || return 0; execute "$@"; report "$@"; }
scripts() { # every script of these, two at a time; told in their order
  running=0
  for file in "$@"; do
    if [ ! -e "$file" ] || ! wanted "$file"; then continue; fi
    execute "$file" &
    running=$((running + 1))
    # a free place is one whose end has been written
    while [ "$((running - $(ended "$@")))" -ge 2 ]; do sleep 0.5; done
  done
  wait
  for file in "$@"; do if [ -e "$(log_of "$file").end" ]; then report "$file"; fi; done
}
ended() { n=0; for f in "$@"; do [ ! -e "$(log_of "$f").end" ] || n=$((n + 1)); done; echo "$n"; }

lint() {
  # shellcheck disable=SC2046
  if shellcheck -s sh $(git ls-files 'installer/*.sh' 'tests/*.sh' 2>/dev/null || find installer tests -name '*.sh') >"$work/shellcheck.log" 2>&1; then pass; else
    cat "$work/shellcheck.log"; fail shellcheck; fi
  lines=$(cat agent/warden/*.[ch] agent/confine/*.[ch] | grep -cvE '^[[:space:]]*(//|/?\*|$)')
  # The design wants 2,000; SECURITY.md says where this stands. It must not grow meanwhile.
  if [ "$lines" -le 2800 ]; then pass; else fail "root's part has grown to $lines lines"; fi
}

build release -DCMAKE_BUILD_TYPE=Release -DKLY_TESTS=ON
build dev -DCMAKE_BUILD_TYPE=Debug -DKLY_SANITIZE=ON
if [ -z "$only" ]; then
  units dev
  build clang -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_COMPILER=clang -DKLY_TESTS=OFF
  script "$root/tests/check/layers.py"
  script "$root/tests/check/links.py" "$work/release/bin"
  script "$root/tests/check/schemas.mjs"
  lint
fi
scripts "$root"/tests/attack/*.sh
scripts "$root"/tests/e2e/*.sh
scripts "$root"/tests/long/*.sh
say "done"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
