# fuzz.sh: every fuzz target under libFuzzer with ASan and UBSan, from its seed corpus: 3 s each, 300 s with KLY_TEST_LONG=1,
# or as many as KLY_FUZZ_SECONDS says. A crash, a leak, a run over 10 s or 1 GiB fails, and tells its input: the file and its bytes.
# shellcheck disable=SC1091
set -u
KLY_ROOT=${KLY_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
KLY_TEST_WORK=${KLY_TEST_WORK:-$(mktemp -d /var/tmp/klystrr-fuzz.XXXXXX)}
. "$KLY_ROOT/tests/lib/tap.sh"
if [ "${KLY_TEST_LONG:-0}" = 1 ]; then seconds=300; else seconds=3; fi
seconds=${KLY_FUZZ_SECONDS:-$seconds}
build=$KLY_TEST_WORK/fuzz
# Findings outlive the run, whose own folder is removed.
found=${KLY_FUZZ_FOUND:-/var/tmp/klystrr-fuzz-found}
if ! command -v clang >/dev/null; then
  echo "clang is not installed"
  exit 77
fi

# The preset, but in a folder of this run.
if ! { cmake -S "$KLY_ROOT" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DCMAKE_C_COMPILER_LAUNCHER=ccache \
  -DKLY_WERROR=ON -DKLY_SANITIZE=ON -DKLY_FUZZ=ON -DKLY_TESTS=OFF &&
  sed -n 's/^kly_fuzz(\([a-z_]*\) .*/\1/p' "$KLY_ROOT/tests/fuzz/CMakeLists.txt" | xargs ninja -C "$build"; } >"$build.log" 2>&1; then
  not_ok "the fuzz targets build" "$(grep -E 'error|FAILED' "$build.log" | head -n 20; tail -n 5 "$build.log")"
  exit 1
fi

hex_of() { od -An -v -tx1 "$1" | tr -d ' \n' | cut -c1-4096; }
tell() { # tell TARGET LOG: what it found, and where the input lies
  tail -n 200 "$2" | grep -E 'ERROR|SUMMARY|runtime error|^ *#[0-9] ' | head -n 16
  for input in "$found/$1"-*; do
    [ -e "$input" ] || continue
    printf 'input: %s (%s bytes)\nhex: %s\n' "$input" "$(wc -c <"$input")" "$(hex_of "$input")"
  done
}
fuzz() { # fuzz TARGET
  corpus=$KLY_TEST_WORK/fuzz-corpus/$1 log=$KLY_TEST_WORK/$1.log
  mkdir -p "$corpus" "$found"
  rm -f "$found/$1"-*
  cp -r "$KLY_ROOT/tests/fuzz/corpus/$1/." "$corpus/"
  "$build/fuzz/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -detect_leaks=1 -artifact_prefix="$found/$1-" "$corpus" >"$log" 2>&1
  code=$?
  runs=$(sed -n 's/^Done \([0-9]*\) runs in .*/\1/p' "$log")
  if [ "$code" = 0 ] && [ "${runs:-0}" -gt 0 ]; then ok "$1: $runs runs"; else not_ok "$1" "exit $code
$(tell "$1" "$log")"; fi
}
for target in "$build"/fuzz/fuzz_*; do fuzz "$(basename "$target")"; done
tap_done
