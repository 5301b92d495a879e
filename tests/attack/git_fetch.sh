#!/bin/sh
# shellcheck disable=SC1091,SC2154,SC2016,SC2012 # git_lib.inc sets the variables
# klystrr-fetch against an honest Git host, and against bad ones (ATTACKS 2.3: GIT-07, 09, 11, 12, 14, 15, 17, 20, 21).
. "$(dirname "$0")/git_lib.inc"

(
    cd "$work" && git init -q app && cd app && mkdir -p src public .github
    echo one >src/a.js && printf '#!/bin/sh\n' >run.sh && chmod 755 run.sh && ln -s ../src/a.js public/link
    git add -A && git commit -qm 'first'
    echo two >src/b.js && head -c 300000 /dev/urandom >noise && git add -A && git commit -qm 'second	line with a tab'
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n' >big.bin
    printf '*.js filter=evil\n' >.gitattributes
    git add -A && git commit -qm "$(printf 'third \033[31mred')"
    git checkout -q --orphan other && git commit -qm 'of another history' && git checkout -q main
    git tag -a v1 -m v1 HEAD~1
) >/dev/null
git clone -q --bare "$work/app" "$work/app.git"
head=$(git -C "$work/app" rev-parse main)
second=$(git -C "$work/app" rev-parse main~1)
first=$(git -C "$work/app" rev-parse main~2)
other=$(git -C "$work/app" rev-parse other)
start_host

expect "fetches the tip" 0 fetch_it ok/app.git "$head"
check "says which commit" grep -q "^commit $head A U Thor	third .x1b.31mred" "$work/out"
check "reports LFS pointers (GIT-20)" grep -q '^lfs big.bin$' "$work/out"
check "writes all files" test "$(cat "$work/staging/src/a.js")$(cat "$work/staging/src/b.js")" = onetwo
check "keeps the executable bit" test -x "$work/staging/run.sh"
check "keeps links inside" test "$(cat "$work/staging/public/link")" = one
check "leaves no .git" test ! -e "$work/staging/.git"
check "runs no filter (GIT-05)" test "$(cat "$work/staging/.gitattributes")" = '*.js filter=evil'
expect "fetches an older commit" 0 fetch_it ok/app.git "$first"
check "writes exactly that commit" test ! -e "$work/staging/src/b.js"
expect "accepts since itself" 0 fetch_it ok/app.git "$second" --since "$second"
expect "accepts a descendant of since" 0 fetch_it ok/app.git "$head" --since "$first"
expect "refuses what is older than since" E_GIT_SINCE fetch_it ok/app.git "$first" --since "$second"
check "leaves nothing behind" test ! -e "$work/staging"
expect "refuses a commit of another history" E_GIT_COMMIT fetch_it ok/app.git "$other"
expect "refuses an unknown commit (GIT-07)" E_GIT_COMMIT fetch_it ok/app.git 1111111111111111111111111111111111111111
expect "refuses a missing ref" E_GIT_REF "$fetch" resolve --url "$url/ok/app.git" --ref refs/heads/none --ca "$work/ca.pem"
expect "resolves a branch" 0 "$fetch" resolve --url "$url/ok/app.git" --ref refs/heads/main --ca "$work/ca.pem"
check "to its tip" grep -qx "tip $head" "$work/out"
expect "resolves a tag" 0 "$fetch" resolve --url "$url/ok/app.git" --ref refs/tags/v1 --ca "$work/ca.pem"
check "to the commit it points to" grep -qx "tip $second" "$work/out"
expect "refuses a staging folder with something in it" E_STAGING sh -c "mkdir -p '$work/full/x'; '$fetch' fetch --mirror '$work/mirror.git' \
    --staging '$work/full' --url '$url/ok/app.git' --ref refs/heads/main --commit $head --ca '$work/ca.pem'"

expect "a missing repository" E_GIT_CONNECT fetch_it ok/none.git "$head"
expect "refuses a host that no public authority knows (GIT-15)" E_GIT_CERTIFICATE "$fetch" resolve --url "$url/ok/app.git" --ref refs/heads/main
expect "refuses another name than the certificate's" E_GIT_CERTIFICATE "$fetch" resolve \
    --url "https://127.0.0.1:${url##*:}/ok/app.git" --ref refs/heads/main --ca "$work/ca.pem"
expect "follows no redirect (GIT-12)" E_GIT_REDIRECT fetch_it redirect/app.git "$head"
expect "wants credentials" E_GIT_AUTH fetch_it auth/app.git "$head"
printf 'tr0ub4dor-token\n' >"$work/token"
expect "takes a token by descriptor" 0 sh -c "exec 7<'$work/token'; '$fetch' resolve --url '$url/auth/app.git' --ref refs/heads/main \
    --ca '$work/ca.pem' --credential-fd 7"
printf 'wrong-token' >"$work/wrong"
expect "says that a token is wrong" E_GIT_AUTH sh -c "exec 7<'$work/wrong'; '$fetch' resolve --url '$url/auth/app.git' --ref refs/heads/main \
    --ca '$work/ca.pem' --credential-fd 7"
check "and does not show it (MSK-18)" sh -c "! grep -q wrong-token '$work/out'"
expect "takes the CA by descriptor" 0 sh -c "exec 7<'$work/ca.pem'; '$fetch' resolve --url '$url/ok/app.git' --ref refs/heads/main --ca-fd 7"

expect "broken pkt-lines (GIT-21)" E_GIT_CONNECT fetch_it garbage/app.git "$head"
expect "refs without capabilities (GIT-21)" E_GIT_REF fetch_it nocaps/app.git "$head" --stall 5
expect "too many refs (GIT-09)" E_REPO_LIMIT fetch_it many/app.git "$head"
expect "a silent host (GIT-11)" E_TIMEOUT fetch_it silent/app.git "$head" --stall 2
rm -rf "$work/mirror.git"
expect "a host that stops in mid-pack (GIT-11)" E_TIMEOUT fetch_it slow/app.git "$head" --stall 2
expect "a deadline" E_TIMEOUT fetch_it slow/app.git "$head" --stall 60 --deadline 2
expect "a connection that breaks in mid-pack" E_GIT_FETCH fetch_it drop/app.git "$head" --stall 5
expect "goes on after all that (GIT-17)" 0 fetch_it ok/app.git "$head"
rm -rf "$work/mirror.git"
expect "more bytes than allowed (GIT-09)" E_REPO_LIMIT fetch_it ok/app.git "$head" --max-mb 0
check "and leaves no staging" test ! -e "$work/staging"

expect "fills the mirror" 0 fetch_it ok/app.git "$head"
for pack in "$work"/mirror.git/objects/pack/*.pack; do chmod u+w "$pack" && head -c 100 /dev/zero | dd of="$pack" bs=1 seek=200 conv=notrunc 2>/dev/null; done
expect "mends a mirror with broken objects (GIT-17)" 0 fetch_it ok/app.git "$first"
printf 'garbage' >"$work/mirror.git/config"
rm -f "$work/mirror.git/HEAD"
expect "mends a mirror without HEAD (GIT-17)" 0 fetch_it ok/app.git "$head"
printf '[url "https://evil.invalid/"]\n\tinsteadOf = https://\n[http]\n\tproxy = http://127.0.0.1:1\n' >"$work/evil"
cp "$work/evil" "$work/mirror.git/config"
mkdir -p "$work/home/.config/git" && cp "$work/evil" "$work/home/.gitconfig" && cp "$work/evil" "$work/home/.config/git/config"
expect "ignores every configuration (GIT-06)" 0 env HOME="$work/home" XDG_CONFIG_HOME="$work/home/.config" GIT_CONFIG_GLOBAL="$work/evil" \
    https_proxy=http://127.0.0.1:1 "$fetch" fetch --mirror "$work/mirror.git" --staging "$work/staging2" --url "$url/ok/app.git" \
    --ref refs/heads/main --commit "$head" --ca "$work/ca.pem"

rm -rf "$work/mirror.git"
for moment in 0.01 0.03 0.06 0.1 0.15 0.2 0.3; do
    timeout -s KILL $moment "$fetch" fetch --mirror "$work/mirror.git" --staging "$work/killed" --url "$url/ok/app.git" \
        --ref refs/heads/main --commit "$head" --ca "$work/ca.pem" >/dev/null 2>&1
    expect "what a killed fetch left goes, after $moment s (GIT-17)" 0 "$fetch" remove --dir "$work/killed"
    expect "and the next fetch works (GIT-17)" 0 fetch_it ok/app.git "$head"
    check "completely" test "$(cat "$work/staging/src/a.js")$(cat "$work/staging/src/b.js")" = onetwo
    [ "$moment" != 0.1 ] || rm -rf "$work/mirror.git"
done

for evil in file:///etc git://localhost/x http://localhost/x 'ssh://-oProxyCommand=x/y' 'https://u:p@localhost/x' \
    'https://localhost/../x' 'https://localhost/a b' 'ext::sh -c x' 'https://localhost' 'https://-x/y' '/etc' "$(printf 'https://h/\nx')"; do
    expect "refuses the URL $evil (GIT-14)" E_SOURCE_URL "$fetch" resolve --url "$evil" --ref refs/heads/main
done
result
