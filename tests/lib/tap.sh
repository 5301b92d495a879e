# tap.sh: results as lines that tests/run.sh counts. Sourced.
#
#   ok NAME · not_ok NAME [WHY] · skip NAME WHY
#   check NAME COMMAND…      ok if the command succeeds; its output is shown when it does not
#   is NAME WANTED GOT       ok if the two are the same
tap_failed=0
ok() { printf 'ok - %s\n' "$1"; }
not_ok() {
  tap_failed=$((tap_failed + 1))
  printf 'not ok - %s\n' "$1"
  if [ -n "${2:-}" ]; then printf '%s\n' "$2" | sed 's/^/#   /'; fi
}
skip() { printf 'skip - %s: %s\n' "$1" "$2"; }
check() {
  tap_name=$1
  shift
  if tap_out=$("$@" 2>&1); then ok "$tap_name"; else not_ok "$tap_name" "$tap_out"; fi
}
is() {
  if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted: $2
got:    $3"; fi
}
# until_true SECONDS COMMAND…
until_true() {
  tap_left=$(($1 * 5))
  shift
  until "$@" >/dev/null 2>&1; do
    tap_left=$((tap_left - 1))
    [ "$tap_left" -gt 0 ] || return 1
    sleep 0.2
  done
}
tap_done() { [ "$tap_failed" = 0 ]; }
