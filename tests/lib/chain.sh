# chain.sh: the whole chain on one bed, as a new user would walk it. Sourced by tests/e2e/chain_*.sh with BED set.
# One host, the two README commands' first half, then pushes, failures, kills, a reboot and the way back.
# shellcheck disable=SC1091,SC2016
set -u
KLY_ROOT=${KLY_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
KLY_SHARED=${KLY_SHARED:-$KLY_ROOT/../shared}
KLY_TEST_WORK=${KLY_TEST_WORK:-$(mktemp -d /var/tmp/klystrr-chain.XXXXXX)}
. "$KLY_ROOT/tests/lib/tap.sh"
. "$KLY_ROOT/tests/lib/bedside.sh"

if why=$(bed_missing); then
  echo "$why"
  exit 77
fi
trap 'bed_down >/dev/null 2>&1' EXIT
trap 'exit 130' INT TERM

api=7400 app=8080
BED_ENV=
url=http://localhost:$app
src=/root/klystrr-src
sh_in() { bed_run sh -c "$1"; }
# Changes the sample's code by a shell command and commits it.
change() { sh_in "cd /root/klystrr-sample && $1 && git -c user.name=T -c user.email=t@localhost commit -qam '$2'"; }
push() { sh_in 'cd /root/klystrr-sample && git push -q' >/dev/null 2>&1; }
version() { sh_in "curl -fsS --max-time 5 $url/healthz" 2>/dev/null | sed -n 's/.*"version":"\([^"]*\)".*/\1/p'; }
live_is() { [ "$(version)" = "$1" ]; }
deploy() { sh_in "klystrr deploy --project sample"; } # exit code as documented
newest() { sh_in "klystrr --version >/dev/null; curl -fsS --cacert /var/lib/klystrr-plane/ca.pem -H @/var/lib/klystrr-quickstart/auth https://localhost:$api/api/v1/projects/sample/deployments?limit=1"; }
newest_field() { newest | sed -n "s/.*\"$1\":[[:space:]]*\"\([^\"]*\)\".*/\1/p" | head -n 1; }
settled() { [ -n "$(newest_field outcome)" ]; }

bed_up >&2 || { not_ok "the bed comes up"; exit 1; }
(cd "$KLY_ROOT" && git archive HEAD) >"$KLY_TEST_WORK/$bed_name.tar" 2>/dev/null
bed_put "$KLY_TEST_WORK/$bed_name.tar" /root/src.tar
sh_in "mkdir -p $src && tar -C $src -xf /root/src.tar"

# ---- from nothing to a live page
if out=$(bed_run sh "$src/installer/quickstart.sh" 2>&1); then ok "quickstart ends well"; else
  not_ok "quickstart ends well" "$out"
  sh_in 'tail -40 /var/log/klystrr-quickstart.log; klystrr status; tail -20 /var/log/klystrr.log' | sed 's/^/#   /'
  exit 1
fi
printf '%s\n' "$out" | sed 's/^/# /'
is "the page answers with the sample's version" 1.0.0 "$(version)"
check "the page shows its release" sh_in "curl -fsS $url/ | grep -E 'id=\"release\">[0-9]+-[0-9a-f]{12}<'"
check "status tells what is live" sh_in 'klystrr status | grep -E "sample .*[0-9]+-[0-9a-f]{12}" && klystrr status --json >/dev/null'
check "the log is there, masked and readable" sh_in 'klystrr logs --project sample | grep -E "build out .* built version 1.0.0"'
check "servers lists this one as connected" sh_in 'klystrr servers | grep connected'
again=$(bed_run sh "$src/installer/quickstart.sh" 2>&1)
check "a second quickstart changes nothing" sh -c 'printf "%s" "$1" | grep -q "nothing was changed"' sh "$again"
check "an upload is taken" sh_in "printf kept | curl -fsS -X PUT --data-binary @- $url/uploads/kept.txt"

# ---- a push goes live without one failed request
sh_in "rm -f /tmp/stop; nohup node $src/tests/lib/hammer.mjs $url /tmp/stop >/tmp/hammer.json 2>&1 &"
change "sed -i 's/\"version\": \"1.0.0\"/\"version\": \"1.0.1\"/' package.json" 'Version 1.0.1'
check "a push is taken" sh_in 'cd /root/klystrr-sample && git push -q'
check "a push goes live" until_true 180 live_is 1.0.1
until_true 60 settled
is "the deployment's outcome is live" live "$(newest_field outcome)"
sh_in 'touch /tmp/stop; sleep 1'
hammered=$(sh_in 'cat /tmp/hammer.json')
echo "# hammer: $hammered"
check "not one request failed during the switch" sh -c 'printf "%s" "$1" | grep -q "\"failed\":0,"' sh "$hammered"
check "both versions were served meanwhile" sh -c 'printf "%s" "$1" | grep -q "\"1.0.0\":" && printf "%s" "$1" | grep -q "\"1.0.1\":"' sh "$hammered"
is "the upload outlived the release" kept "$(sh_in "curl -fsS $url/uploads/kept.txt")"

# ---- what fails leaves the old release serving
# from here on each deployment is asked for, none begins by itself
sh_in 'klystrr projects set --project sample --poll 0 && chmod -x /srv/klystrr-git/sample.git/hooks/post-receive' >/dev/null
change "cp build.js build.js.good && echo 'process.exit(3)' >build.js && git add -A" 'Break the build'
push
deploy >"$KLY_TEST_WORK/fail.out" 2>&1
is "a failed build exits 6" 6 $?
sed 's/^/# /' "$KLY_TEST_WORK/fail.out"
check "the cause is said" grep -Eq 'failed after .*phase build .*exited with status 3' "$KLY_TEST_WORK/fail.out"
is "the old release serves after a failed build" 1.0.1 "$(version)"
change "mv build.js.good build.js && sed -i \"s#res.json({ status: 'ok'#res.status(500).json({ status: 'ok'#\" src/server.js && sed -i 's#\"/healthz\"#\"/healthz\", \"timeout\": 15#' klystrr.json && git add -A" 'Break the probe'
sh_in 'cd /root/klystrr-sample && klystrr manifest publish' >/dev/null
push
deploy >"$KLY_TEST_WORK/fail.out" 2>&1
is "a failed probe exits 6" 6 $?
sed 's/^/# /' "$KLY_TEST_WORK/fail.out"
is "the old release serves after a failed probe" 1.0.1 "$(version)"

# ---- back and forth
change "sed -i \"s#res.status(500).json({ status: 'ok'#res.json({ status: 'ok'#\" src/server.js && sed -i 's/\"version\": \"1.0.1\"/\"version\": \"1.0.2\"/' package.json" 'Version 1.0.2'
push
check "the next good commit goes live" deploy
is "and is served" 1.0.2 "$(version)"
check "rollback goes back to the release before" sh_in 'klystrr rollback --project sample'
is "the release before is served" 1.0.1 "$(version)"
check "releases lists them" sh_in 'klystrr releases --project sample | grep -c kept'

# ---- a value is found nowhere
canary="canary-$(od -An -N12 -tx1 /dev/urandom | tr -d ' \n')"
printf '%s' "$canary" >"$KLY_TEST_WORK/canary"
bed_put "$KLY_TEST_WORK/canary" /root/canary
change "node $src/tests/lib/use_value.mjs" 'Use a value'
check "a value is set" sh_in 'klystrr env set CANARY --project sample --from /root/canary && rm -f /root/canary'
check "the manifest is published anew" sh_in 'cd /root/klystrr-sample && klystrr manifest publish'
push
deploy >"$KLY_TEST_WORK/canary.out" 2>&1
is "a deployment with a value goes live" 0 $?
sed 's/^/# /' "$KLY_TEST_WORK/canary.out"
check "the value reached the build, masked" sh_in 'klystrr logs --project sample | grep -F "value: [MASKED]"'
found=$(sh_in "V=$canary; B=\$(printf %s \$V | base64 -w0 | cut -c1-24)
  grep -rlaF -e \$V -e \$B /var/lib/klystrr /var/lib/klystrr-plane /var/log /etc/klystrr /run/klystrr /srv/klystrr /tmp 2>/dev/null | grep -v '^/run/klystrr/apps/'
  for f in /var/lib/klystrr/spool/*; do gzip -dcq \$f 2>/dev/null | grep -qaF -e \$V -e \$B && echo \$f; done
  for f in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <\$f 2>/dev/null | grep -qF \$V && ! grep -qa \"V=\$V\" \$f && echo \$f; done
  klystrr status --json | grep -F \$V
  curl -s --unix-socket /run/klystrr/agent.sock http://localhost/v1/status | grep -F \$V")
is "the value is found in no file, log, process list or answer" "" "$found"

# ---- kill -9 in the middle
live=$(version)
for victim in klystrr-agent klystrr-uplink klystrr-scribe klystrr-warden klystrr-plane; do
  [ "$victim/$BED" != klystrr-warden/here ] || { skip "kill -9 of $victim in a deployment" "without systemd the supervisor is the host's init for Klystrr"; continue; }
  [ "$victim/$BED" != klystrr-plane/here ] || { skip "kill -9 of $victim in a deployment" "nothing restarts the plane without systemd"; continue; }
  sh_in 'klystrr deploy --project sample --no-wait' >/dev/null 2>&1
  sleep 2
  check "kill -9 hits $victim" sh_in "pkill -KILL -x $victim"
  check "the page answers after kill -9 of $victim" until_true 10 live_is "$live"
  check "the deployment ends after kill -9 of $victim" until_true 240 settled
done
check "deploying works after all that" deploy

# ---- power loss, and no network when it comes back
bed_crash
bed_boot offline >&2
if [ "$BED" = here ]; then
  sh_in "start-stop-daemon --start --background --make-pidfile --pidfile /run/klystrr.pid --output /var/log/klystrr.log --startas /usr/local/libexec/klystrr/klystrr-warden -- --supervise"
  sh_in 'nginx'
fi
check "the app is back after a power loss without network" until_true 60 live_is "$live"

# ---- the way back
bed_run sh "$src/installer/quickstart.sh" --remove >"$KLY_TEST_WORK/remove.out" 2>&1
is "--remove ends well" 0 $?
left=$(sh_in "ls -d /etc/klystrr /var/lib/klystrr* /srv/klystrr* /opt/klystrr /usr/local/libexec/klystrr /usr/local/bin/klystrr* /etc/systemd/system/klystrr* /etc/nginx/conf.d/klystrr* /run/klystrr 2>/dev/null; getent passwd | grep -E '^(klystrr|k[ab]-)'; pgrep -a klystrr")
is "--remove leaves nothing" "" "$left"
tap_done
