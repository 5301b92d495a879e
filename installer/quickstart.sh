#!/bin/sh
# quickstart.sh [--remove]: Klystrr on this machine, from nothing to a live page.
#
# Installs what is needed from Debian and npm, builds, installs under /usr/local, starts a control plane and an agent,
# enrols this machine as a server, serves the sample app from a local Git repository over https, deploys it, and prints
# where everything is. A second run says what is there and changes nothing. --remove undoes all of it.
# Debian 12 and 13, as root, with systemd or without. Ports can be moved: KLYSTRR_API_PORT (7400), KLYSTRR_AGENT_PORT
# (7443), KLYSTRR_GIT_PORT (7480), KLYSTRR_APP_PORT (8080).
set -eu
umask 022
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

root=$(cd "$(dirname "$0")/.." && pwd)
prefix=/usr/local
libexec=$prefix/libexec/klystrr
state=/var/lib/klystrr-quickstart
plane_data=/var/lib/klystrr-plane
git_home=/srv/klystrr-git
checkout=/root/klystrr-sample
build=/var/tmp/klystrr-build
log=/var/log/klystrr-quickstart.log
unit=/etc/systemd/system/klystrr-quickstart-git.service
git_conf=/etc/nginx/conf.d/klystrr-quickstart-git.conf
pm2_version=7.0.4
api_port=${KLYSTRR_API_PORT:-7400}
agent_port=${KLYSTRR_AGENT_PORT:-7443}
git_port=${KLYSTRR_GIT_PORT:-7480}
app_port=${KLYSTRR_APP_PORT:-8080}
export KLYSTRR_CONFIG=/root/.config/klystrr
export HOME=/root

began=$(date +%s)
say() { printf '%s\n' "$*"; }
step() { printf '[%3ds] %s\n' "$(($(date +%s) - began))" "$*"; printf '== %s\n' "$*" >>"$log"; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }
# quietly COMMAND…: into the log; on failure its last lines are shown.
quietly() {
  "$@" >>"$log" 2>&1 </dev/null && return 0
  code=$?
  tail -n 20 "$log" >&2
  die "'$*' failed ($code). The whole log: $log"
}
has_systemd() { [ -d /run/systemd/system ]; }
has() { command -v "$1" >/dev/null 2>&1; }

# ---- before anything is touched ------------------------------------------------------------------------------------
port_taken() { # a listener on this TCP port?
  hex=$(printf '%04X' "$1")
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == p { found = 1 } END { exit !found }'
}

# shellcheck disable=SC1091
debian_version() { (. /etc/os-release && printf '%s %s' "${ID:-}" "${VERSION_ID:-}"); }

preflight() {
  [ "$(id -u)" = 0 ] || die "this needs root: sudo sh installer/quickstart.sh"
  debian=$(debian_version)
  case $debian in 'debian 12'|'debian 13') ;; *) die "this is for Debian 12 and 13, and here is '$debian'";; esac
  case $(uname -m) in x86_64|aarch64) ;; *) die "this is for x86-64 and arm64, and here is $(uname -m)";; esac
  memory=$(awk '/^(MemTotal|SwapTotal):/ { kb += $2 } END { print int(kb / 1024) }' /proc/meminfo)
  [ "$memory" -ge 900 ] || die "$memory MiB of memory and swap are too few: building the app needs 900. Add swap and try again"
  for place in / /var /usr /srv; do
    free=$(df -Pk "$place" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free" -ge 2500 ] || die "$free MiB free at $place are too few: 2500 are needed"
  done
  for port in "$api_port" "$agent_port" "$git_port" "$app_port"; do
    ! port_taken "$port" || die "port $port is taken. Free it, or choose others (KLYSTRR_API_PORT, KLYSTRR_AGENT_PORT, KLYSTRR_GIT_PORT, KLYSTRR_APP_PORT)"
  done
  if has npm; then
    timeout 60 npm ping >/dev/null 2>&1 || die "npm's registry does not answer ('npm ping' fails): the app's packages come from there"
  fi
}

# ---- Debian's packages, pm2, the programs ----------------------------------------------------------------------------
packages() {
  list="gcc libc6-dev cmake ninja-build pkgconf libuv1-dev libmbedtls-dev libgit2-dev libcjson-dev libseccomp-dev libwslay-dev
    zlib1g-dev libsqlite3-dev libargon2-dev nginx-light fcgiwrap git openssl ca-certificates curl procps passwd"
  if [ "$debian" = 'debian 12' ]; then list="$list node-llhttp"; else list="$list libllhttp-dev"; fi
  has node || list="$list nodejs"
  has npm || list="$list npm"
  dpkg-query -W -f '${Package} ${Status}\n' | awk '/ installed$/ { print $1 }' | sort >"$state/packages.before"
  step "Installing Debian's packages"
  quietly apt-get -qq update
  # nginx must not take port 80 by itself: the app's own vhost is all that is wanted
  # shellcheck disable=SC2086
  quietly apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 install $list
  dpkg-query -W -f '${Package} ${Status}\n' | awk '/ installed$/ { print $1 }' | sort | comm -13 "$state/packages.before" - >"$state/packages"
  [ -x /usr/sbin/fcgiwrap ] || die "fcgiwrap is missing"
  if has_systemd; then quietly systemctl disable --now fcgiwrap.socket fcgiwrap.service; fi
  timeout 60 npm ping >/dev/null 2>&1 || die "npm's registry does not answer ('npm ping' fails): the app's packages come from there"
}

programs() {
  step "Building Klystrr"
  quietly cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DKLY_TESTS=OFF -DCMAKE_INSTALL_PREFIX="$prefix" \
    -DCMAKE_INSTALL_SYSCONFDIR=/etc
  quietly cmake --build "$build"
  quietly cmake --install "$build" --strip
  cp "$build/install_manifest.txt" "$state/installed"
  step "Installing pm2 $pm2_version"
  mkdir -p "$prefix/lib/klystrr/pm2"
  # in its folder rather than with --prefix, which would make npm look for its own settings below that prefix
  printf '{"private":true}\n' >"$prefix/lib/klystrr/pm2/package.json"
  (cd "$prefix/lib/klystrr/pm2" && quietly npm install --no-audit --no-fund --ignore-scripts --omit=optional "pm2@$pm2_version")
  chmod -R go+rX,go-w "$prefix/lib/klystrr"
}

make_user() { # make_user NAME HOME
  getent passwd "$1" >/dev/null || quietly useradd --system --user-group --no-create-home --home-dir "$2" --shell /usr/sbin/nologin "$1"
}

users() {
  step "Making users"
  for name in klystrr klystrr-net klystrr-log klystrr-probe klystrr-node; do make_user "$name" /nonexistent; done
  make_user klystrr-plane "$plane_data"
  make_user klystrr-git "$git_home"
  getent group klystrr-read >/dev/null || quietly groupadd --system klystrr-read
}

# ---- services: the same with systemd and without ---------------------------------------------------------------------
# background NAME USER[:GROUP] COMMAND…: for machines whose PID 1 is not systemd
background() {
  name=$1 who=$2
  shift 2
  program=$1
  shift
  quietly start-stop-daemon --start --oknodo --background --make-pidfile --pidfile "/run/$name.pid" --chuid "$who" \
    --output "/var/log/$name.log" --startas "$program" -- "$@"
}
background_stop() {
  [ -e "/run/$1.pid" ] || return 0
  start-stop-daemon --stop --oknodo --retry TERM/15/KILL/5 --pidfile "/run/$1.pid" >>"$log" 2>&1 || true
  rm -f "/run/$1.pid"
}

start_plane() {
  step "Starting the control plane"
  install -d -m 700 -o klystrr-plane -g klystrr-plane "$plane_data"
  quietly runuser -u klystrr-plane -- "$prefix/bin/klystrr-plane" init --data "$plane_data" \
    --api "https://localhost:$api_port" --agents "https://localhost:$agent_port"
  if has_systemd; then
    quietly systemctl daemon-reload
    quietly systemctl enable --now klystrr-plane.service
  else
    background klystrr-plane klystrr-plane:klystrr-plane "$prefix/bin/klystrr-plane" run --data "$plane_data"
  fi
  wait_for 30 "the plane to answer" plane_answers
}
plane_answers() { curl -fsS --cacert "$plane_data/ca.pem" "https://localhost:$api_port/healthz"; }
wait_for() { # wait_for SECONDS WHAT COMMAND…
  left=$(($1 * 5)) what=$2
  shift 2
  until "$@" >>"$log" 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { tail -n 20 "$log" >&2; die "waited in vain for $what. The whole log: $log"; }
    sleep 0.2
  done
}

start_host() {
  step "Starting the agent"
  install -d -m 755 /etc/klystrr
  [ -e /etc/klystrr/policy.json ] || cat >/etc/klystrr/policy.json <<JSON
{
  "projects": {
    "sample": {
      "repositories": ["https://localhost:$git_port/sample.git"],
      "refs": ["refs/heads/main"],
      "domains": ["sample.localhost", "localhost", "$(host_domain)"],
      "ports": [20000, 20099]
    }
  }
}
JSON
  quietly klystrr policy apply
  if has_systemd; then
    quietly systemd-tmpfiles --create
    quietly systemctl daemon-reload
    quietly systemctl enable --now klystrr-warden.socket klystrr-box.socket klystrr-control.socket klystrr-link.socket klystrr-read.socket
    quietly systemctl enable --now klystrr-warden.service klystrr-agent.service klystrr-uplink.service
  else
    background klystrr root "$libexec/klystrr-warden" --supervise
  fi
}
host_domain() {
  name=$(hostname 2>/dev/null | tr '[:upper:]' '[:lower:]')
  case $name in ''|*[!a-z0-9.-]*|-*|*-|.*|*.) name=sample.localhost;; esac
  printf '%s' "$name"
}

owner() {
  step "Making the owner's keys, enrolling this machine"
  quietly klystrr login --plane "https://localhost:$api_port" --ca "$plane_data/ca.pem" --key-file "$plane_data/admin.key"
  quietly klystrr keys init
  if [ ! -e /etc/klystrr/agent.json ]; then
    quietly klystrr servers add "$(hostname)" --token-file "$state/token"
    quietly klystrr enrol --token-file "$state/token"
    rm -f "$state/token"
  fi
}

# ---- the sample's repository -------------------------------------------------------------------------------------------
git_tls() {
  tls=$state/git-tls
  [ ! -e "$tls/server.pem" ] || return 0
  mkdir -p "$tls"
  (
    umask 077
    openssl ecparam -name prime256v1 -genkey -noout -out "$tls/ca.key"
    openssl req -x509 -new -key "$tls/ca.key" -subj '/CN=Klystrr quickstart Git CA' -days 3650 -out "$tls/ca.pem" \
      -addext 'keyUsage=critical,keyCertSign' -addext 'basicConstraints=critical,CA:TRUE,pathlen:0'
    openssl ecparam -name prime256v1 -genkey -noout -out "$tls/server.key"
    openssl req -new -key "$tls/server.key" -subj '/CN=localhost' -out "$tls/server.csr"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$tls/server.ext"
    openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 3650 -extfile "$tls/server.ext" -out "$tls/server.pem"
  ) >>"$log" 2>&1 || die "no certificate could be made for the Git server. The log: $log"
  chmod 644 "$tls/ca.pem"
}

git_server() {
  step "Serving the sample app's repository over https"
  git_tls
  install -d -m 755 "$git_home"
  if [ ! -d "$git_home/sample.git" ]; then
    quietly git init -q --bare -b main "$git_home/sample.git"
    printf '#!/bin/sh\nexec node %s %s < /dev/stdin\n' "$libexec/push-hook.js" "$state/hook.json" >"$git_home/sample.git/hooks/post-receive"
    chmod 755 "$git_home/sample.git/hooks/post-receive"
  fi
  cat >"$git_conf" <<NGINX
# Klystrr quickstart: the sample app's repository, read only, for this machine alone.
server {
  listen 127.0.0.1:$git_port ssl;
  server_name localhost;
  ssl_certificate $state/git-tls/server.pem;
  ssl_certificate_key $state/git-tls/server.key;
  ssl_protocols TLSv1.2 TLSv1.3;
  access_log off;
  location / {
    include fastcgi_params;
    fastcgi_pass unix:/run/klystrr-git/fcgi.sock;
    fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
    fastcgi_param GIT_PROJECT_ROOT $git_home;
    fastcgi_param GIT_HTTP_EXPORT_ALL "";
    fastcgi_param PATH_INFO \$uri;
    fastcgi_param GIT_CONFIG_COUNT 1;
    fastcgi_param GIT_CONFIG_KEY_0 safe.directory;
    fastcgi_param GIT_CONFIG_VALUE_0 *;
  }
}
NGINX
  if has_systemd; then
    cat >"$unit" <<UNIT
[Unit]
Description=Klystrr quickstart: git-http-backend for the sample app
[Service]
User=klystrr-git
Group=www-data
RuntimeDirectory=klystrr-git
RuntimeDirectoryMode=0750
UMask=0007
ExecStart=/usr/sbin/fcgiwrap -s unix:/run/klystrr-git/fcgi.sock
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
[Install]
WantedBy=multi-user.target
UNIT
    quietly systemctl daemon-reload
    quietly systemctl enable --now klystrr-quickstart-git.service
  else
    install -d -m 750 -o klystrr-git -g www-data /run/klystrr-git
    background_stop klystrr-git # one that an interrupted run left would listen at the socket's old file
    rm -f /run/klystrr-git/fcgi.sock
    (umask 007; background klystrr-git klystrr-git:www-data /usr/sbin/fcgiwrap -s unix:/run/klystrr-git/fcgi.sock)
  fi
  start_nginx
  wait_for 20 "the Git server to answer" curl -fsS --cacert "$state/git-tls/ca.pem" "https://localhost:$git_port/sample.git/HEAD" -o /dev/null
}

start_nginx() {
  if [ ! -s /run/nginx.pid ] && grep -q 'listen 80 default_server' /etc/nginx/sites-enabled/default 2>/dev/null && port_taken 80; then
    die "port 80 is taken by another program, and nginx's default site wants it: remove /etc/nginx/sites-enabled/default, or free the port"
  fi
  quietly nginx -t
  if has_systemd; then quietly systemctl enable nginx; quietly systemctl restart nginx
  elif [ -s /run/nginx.pid ] && kill -0 "$(cat /run/nginx.pid)" 2>/dev/null; then quietly nginx -s reload
  else quietly nginx; fi
}

sample() {
  if [ ! -d "$checkout" ]; then
    cp -r "$root/installer/sample-app" "$checkout"
    rm -rf "$checkout/node_modules" "$checkout/dist"
    git_in init -q -b main
    git_in config user.name Klystrr
    git_in config user.email quickstart@localhost
    git_in add -A
    git_in commit -qm 'The sample app'
    git_in remote add origin "$git_home/sample.git"
  fi
  step "Describing the app and signing its manifest"
  [ -e "$checkout/klystrr.json" ] || (
    cd "$checkout"
    set -- --domain sample.localhost --domain localhost
    [ "$(host_domain)" = sample.localhost ] || [ "$(host_domain)" = localhost ] || set -- "$@" --domain "$(host_domain)"
    quietly klystrr init --project sample --repo "https://localhost:$git_port/sample.git" --git-ca "$state/git-tls/ca.pem" \
      --server "$(hostname)" "$@" \
      --listen "$app_port" --probe-path /healthz --shared uploads --public-env GREETING --node "${KLYSTRR_NODE:-22}"
    git_in add -A
    git_in commit -qm 'Describe the deployment'
  )
  [ -e "$state/hook.json" ] || {
    quietly klystrr webhook --project sample --secret-file "$state/hook.secret"
    printf '{"url":"https://localhost:%s/hooks/v1/sample","ca":"%s","secret_file":"%s"}\n' "$api_port" "$plane_data/ca.pem" "$state/hook.secret" >"$state/hook.json"
  }
  printf 'It is live.' >"$state/greeting"
  quietly klystrr env set GREETING --project sample --from "$state/greeting"
  wait_for 40 "this machine to connect to the plane" connected
  step "Deploying: git push"
  git_in push -q -u origin main >>"$log" 2>&1 || die "git push failed. The log: $log"
  wait_for 20 "the push to start a deployment" deployment_there
  klystrr logs -f --project sample >>"$log" 2>&1 || true
  wait_for 600 "the deployment to end" deployment_ended
  [ "$outcome" = live ] || { klystrr logs --project sample | tail -n 25 >&2 || true; die "the deployment ended as '$outcome': $text"; }
  curl -fsS "http://localhost:$app_port/healthz" >>"$log" || die "the app is deployed, but http://localhost:$app_port/healthz does not answer"
}
git_in() { git -C "$checkout" -c safe.directory="$checkout" "$@"; }
connected() { klystrr servers --json | grep -q '"state":[[:space:]]*"connected"'; }
deployments() { curl -fsS --cacert "$plane_data/ca.pem" -H @"$state/auth" "https://localhost:$api_port/api/v1/projects/sample/deployments?limit=1"; }
field() { sed -n "s/.*\"$1\":[[:space:]]*\"\([^\"]*\)\".*/\1/p" | head -n 1; }
deployment_there() { [ -n "$(latest | field id)" ]; }
latest() { (umask 077; printf 'Authorization: Bearer %s\n' "$(cat "$plane_data/admin.key")" >"$state/auth"); deployments; }
deployment_ended() {
  answer=$(latest)
  outcome=$(printf '%s' "$answer" | field outcome)
  text=$(printf '%s' "$answer" | field text)
  [ -n "$outcome" ]
}

tell() {
  cat <<TEXT

The sample app is live.

  App          http://localhost:$app_port/   (also http://sample.localhost:$app_port/)
  Plane        https://localhost:$api_port   (CA certificate: $plane_data/ca.pem)
  API key      $plane_data/admin.key
  Owner's keys $KLYSTRR_CONFIG/keys   (copy them away from this machine)
  App's code   $checkout   (git push deploys)

Try next:
  klystrr status
  klystrr logs --project sample
  cd $checkout && sed -i 's/"1.0.0"/"1.0.1"/' package.json && git commit -qam 'Version 1.0.1' && git push

Remove all of it: sh installer/quickstart.sh --remove
TEXT
}

# ---- the way back --------------------------------------------------------------------------------------------------------
drop_user() { if getent passwd "$1" >/dev/null; then userdel "$1" >>"$log" 2>&1 || true; fi; drop_group "$1"; }
drop_group() { if getent group "$1" >/dev/null; then groupdel "$1" >>"$log" 2>&1 || true; fi; }
remove_projects() {
  for home in /srv/klystrr/*/; do
    name=$(basename "$home")
    [ -d "$home/releases" ] || continue
    for user in "kb-$name" "ka-$name"; do
      pkill -KILL -u "$user" 2>/dev/null || true
      drop_user "$user"
    done
    for group in "kb-$name" "ka-$name" "kp-$name"; do drop_group "$group"; done
  done
}

remove() {
  [ "$(id -u)" = 0 ] || die "this needs root"
  if [ ! -d "$state" ]; then say "Nothing of the quickstart is on this machine."; exit 0; fi
  : >>"$log"
  step "Stopping everything"
  if has_systemd; then
    systemctl disable --now klystrr-uplink.service klystrr-agent.service klystrr-warden.service klystrr-plane.service klystrr-quickstart-git.service \
      klystrr-warden.socket klystrr-box.socket klystrr-control.socket klystrr-link.socket klystrr-read.socket >>"$log" 2>&1 || true
    systemctl stop 'klystrr-app@*.service' 'klystrr-box@*.service' >>"$log" 2>&1 || true
  fi
  for name in klystrr klystrr-plane klystrr-git; do background_stop "$name"; done
  rm -f /etc/nginx/conf.d/klystrr-*.conf "$unit"
  if [ -s /run/nginx.pid ] && has nginx; then nginx -s reload >>"$log" 2>&1 || true; fi
  remove_projects
  step "Removing files, users and packages"
  [ ! -e "$state/installed" ] || while read -r file; do rm -f "$file"; done <"$state/installed"
  rm -rf "$libexec" "$prefix/lib/klystrr" /opt/klystrr /srv/klystrr "$git_home" "$checkout" /etc/klystrr /var/lib/klystrr "$plane_data" \
    /run/klystrr /run/klystrr-git "$build" "$KLYSTRR_CONFIG" /var/log/klystrr-plane.log /var/log/klystrr-git.log /var/log/klystrr.log
  for user in klystrr klystrr-net klystrr-log klystrr-probe klystrr-node klystrr-plane klystrr-git; do drop_user "$user"; done
  drop_group klystrr-read
  if has_systemd; then systemctl daemon-reload; fi
  if [ -s "$state/packages" ]; then
    if grep -q '^nginx' "$state/packages" && [ -s /run/nginx.pid ] && ! has_systemd; then nginx -s stop >>"$log" 2>&1 || true; fi
    xargs -r apt-get -qq -y purge <"$state/packages" >>"$log" 2>&1 || say "Some packages stayed: see $log"
  fi
  rm -rf "$state"
  say "Removed. Its log stays in $log."
}

case ${1:-} in
  '') ;;
  --remove) remove; exit 0;;
  *) die "usage: quickstart.sh [--remove]";;
esac
if [ -e "$state/done" ]; then
  say "The quickstart is in place on this machine; nothing was changed."
  tell
  exit 0
fi
[ -d "$state" ] || preflight
debian=$(debian_version)
install -d -m 755 "$state"
chmod 711 "$state"
: >"$log"
packages
programs
users
start_plane
owner
start_host
git_server
sample
touch "$state/done"
step "Done"
tell
