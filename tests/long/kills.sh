# kills.sh: deployments whose programs are killed (-9) at random moments, on this machine's own files (tests/lib/host.sh).
# 3 of them, 60 with KLY_TEST_LONG=1, or as many as KLY_KILLS says. KLY_SEED repeats a run's choices: it is printed.
# What must hold afterwards is said in kills.mjs.
# shellcheck disable=SC1091,SC2034
set -u
KLY_ROOT=${KLY_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
KLY_SHARED=${KLY_SHARED:-$KLY_ROOT/../shared}
KLY_TEST_WORK=${KLY_TEST_WORK:-$(mktemp -d /var/tmp/klystrr-kills.XXXXXX)}
BED=here
. "$KLY_ROOT/tests/lib/tap.sh"
. "$KLY_ROOT/tests/lib/bedside.sh"
if [ "${KLY_TEST_LONG:-0}" = 1 ]; then rounds=60; else rounds=3; fi
rounds=${KLY_KILLS:-$rounds}
seed=${KLY_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}

if why=$(bed_missing); then
  echo "$why"
  exit 77
fi
bed_name=kills$$
trap 'bed_down >/dev/null 2>&1' EXIT
trap 'exit 130' INT TERM

# The bed shares this machine's network: ports that are free now.
# shellcheck disable=SC2046
set -- $(python3 -c 'import socket
s = [socket.socket() for _ in range(3)]
for x in s: x.bind(("127.0.0.1", 0))
print(*[x.getsockname()[1] for x in s])')
app=$((24600 + $$ % 4000))
BED_ENV="KLYSTRR_API_PORT=$1 KLYSTRR_AGENT_PORT=$2 KLYSTRR_GIT_PORT=$3 KLYSTRR_APP_PORT=$app"
src=/root/klystrr-src

bed_up >&2 || { not_ok "the bed comes up"; exit 1; }
(cd "$KLY_ROOT" && git archive HEAD) >"$KLY_TEST_WORK/$bed_name.tar"
bed_put "$KLY_TEST_WORK/$bed_name.tar" /root/src.tar
# nginx's default site would want port 80, which another bed may have.
bed_run sh -c "mkdir -p $src && tar -C $src -xf /root/src.tar && rm -f /etc/nginx/sites-enabled/default"
if out=$(bed_run sh "$src/installer/quickstart.sh" 2>&1); then ok "quickstart ends well"; else
  not_ok "quickstart ends well" "$out"
  exit 1
fi
bed_put "$KLY_ROOT/tests/long/kills.mjs" /root/kills.mjs
bed_run node /root/kills.mjs "http://localhost:$app" "https://localhost:$1" "$rounds" "$seed"
