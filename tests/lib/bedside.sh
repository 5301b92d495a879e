# bedside.sh: one way to speak to a test host, whatever it is. Sourced; set BED first:
#   here       this machine's own files under an overlay, without systemd (tests/lib/host.sh)
#   bookworm, trixie   a fresh VPS with systemd (shared/vps)
#
#   bed_up · bed_run CMD… · bed_put FILE-OR-FOLDER TARGET · bed_crash · bed_boot [offline] · bed_down
# shellcheck disable=SC1091
. "$KLY_ROOT/tests/lib/host.sh"
bed_vps=$KLY_SHARED/vps
bed_name="k${BED}$$"

bed_missing() { # prints why this bed cannot be had
  if [ "$BED" != here ] && [ ! -x "$bed_vps/vps-up" ]; then
    echo "shared/vps is not beside this checkout"
    return 0
  fi
  [ "$(id -u)" = 0 ] || { echo "needs root"; return 0; }
  return 1
}
bed_up() {
  if [ "$BED" = here ]; then host_new "$KLY_TEST_WORK/$bed_name"; else VPS_SUITE=$BED "$bed_vps/vps-up" "$bed_name"; fi
}
bed_run() {
  if [ "$BED" = here ]; then HOST_ENV="${BED_ENV:-}" host_run "$KLY_TEST_WORK/$bed_name" "$@"; else
    bed_flags=
    for bed_pair in ${BED_ENV:-}; do bed_flags="$bed_flags -e $bed_pair"; done
    # shellcheck disable=SC2086
    "$bed_vps/vps-exec" -t 1200 $bed_flags "$bed_name" -- "$@"
  fi
}
bed_put() {
  if [ "$BED" = here ]; then cp -r "$1" "/proc/$(cat "$KLY_TEST_WORK/$bed_name/init")/root$2"; else "$bed_vps/vps-cp" "$1" "$bed_name:$2"; fi
}
bed_crash() {
  if [ "$BED" = here ]; then host_crash "$KLY_TEST_WORK/$bed_name"; else "$bed_vps/vps-crash" "$bed_name"; fi
}
bed_boot() {
  if [ "$BED" = here ]; then host_boot "$KLY_TEST_WORK/$bed_name" "${1:-}"; else "$bed_vps/vps-up" "$bed_name"; fi
}
bed_down() {
  if [ "$BED" = here ]; then host_end "$KLY_TEST_WORK/$bed_name"; else "$bed_vps/vps-down" "$bed_name"; fi
}
