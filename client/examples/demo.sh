#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The whole story in a few seconds: a daemon with throw-away keys, a login that mints a token, a
# service that accepts it, and three tokens that it does not. Usage: demo.sh BUILD_DIR
set -euo pipefail

if [[ $# -ne 1 || ! -x $1/bin/signetd ]]; then
    printf 'Usage: demo.sh BUILD_DIR, the directory of a finished build\n' >&2
    exit 2
fi
bin=$(cd -- "$1/bin" && pwd)
readonly bin

scratch=$(mktemp -d "${TMPDIR:-/tmp}/signet-demo.XXXXXX")
readonly scratch
mkdir -m 700 "$scratch/run"
export SIGNET_ADDRESS=ipc://$scratch/run/signet.sock
daemon=

# Ends our own daemon, if it still runs, and leaves nothing behind.
clean_up() {
    if [[ -n $daemon ]]; then
        kill -KILL "$daemon" 2>/dev/null || true
        wait "$daemon" 2>/dev/null || true
    fi
    rm -rf -- "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\033[1m' green=$'\033[32m' red=$'\033[31m' plain=$'\033[0m'
else
    bold='' green='' red='' plain=''
fi

step() {
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

show() {
    sed 's/^/    /'
}

die() {
    printf '%sdemo: %s%s\n' "$red" "$*" "$plain" >&2
    if [[ -s $scratch/log ]]; then
        printf 'demo: the log of signetd:\n' >&2
        cat "$scratch/log" >&2
    fi
    exit 1
}

# refused REASON TOKEN: the orders service must refuse the token for this very reason.
refused() {
    local reason=$1 token=$2 status=0
    "$bin/examples/orders" "Bearer $token" >"$scratch/out" 2>&1 || status=$?
    show <"$scratch/out"
    if [[ $status -ne 1 ]] || ! grep -q "refused: $reason:" "$scratch/out"; then
        die "this should have been refused as $reason"
    fi
    printf '    %sas it should be%s\n' "$green" "$plain"
}

# The claims of a token, changed to speak of another user; its signature stays what it was.
forge() {
    local header=${1%%.*} signature=${1##*.} payload=${1#*.}
    payload=${payload%.*}
    payload=$(printf '%s==' "$payload" | tr -- '-_' '+/' | base64 -d 2>/dev/null || true)
    payload=${payload/user-1001/user-1002}
    payload=$(printf '%s' "$payload" | base64 -w 0 | tr -- '+/' '-_' | tr -d '=')
    printf '%s.%s.%s' "$header" "$payload" "$signature"
}

# expired TOKEN: waits, at most 10 seconds, until the token's second of life has passed.
expired() {
    local try
    for ((try = 0; try < 100; try++)); do
        if ! "$bin/signet" verify "$1" --aud orders >/dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    die "a token of one second is still accepted after ten"
}

step '1. signetd starts, with throw-away keys that only it holds'
"$bin/signetd" --dev --runtime-dir "$scratch/run" >"$scratch/log" 2>&1 &
daemon=$!
"$bin/signet" --timeout 10s keysets >"$scratch/out" 2>&1 ||
    { cat "$scratch/out" >&2; die 'signetd did not start'; }
show <"$scratch/out"

step '2. alice logs in, and the login service mints a token: for her user id, for "orders", one hour'
token=$(printf 'correct horse\n' | "$bin/examples/login" alice) || die 'the login did not work'
printf '%s\n' "$token" | show
if printf 'wrong horse\n' | "$bin/examples/login" alice >"$scratch/out" 2>&1; then
    die 'the login took a wrong password'
fi
printf '    with a wrong password:\n'
show <"$scratch/out"

step '3. the orders service verifies it'
"$bin/examples/orders" "Bearer $token" >"$scratch/out" 2>&1 ||
    { cat "$scratch/out" >&2; die 'the orders service refused a good token'; }
show <"$scratch/out"
grep -q 'orders of user-1001' "$scratch/out" || die 'the token is not for user-1001'

step '4. a forged token: somebody turned user-1001 into user-1002 and kept the signature'
forged=$(forge "$token")
[[ $forged != "$token" ]] || die 'could not forge the token'
refused BAD_SIGNATURE "$forged"

step '5. an expired token: it was good for one second'
short=$("$bin/signet" sign demo-es256 --sub user-1001 --aud orders --ttl 1s) ||
    die 'could not mint a short token'
expired "$short"
refused EXPIRED "$short"

step '6. a token for another service: good, but minted for "billing"'
other=$("$bin/signet" sign demo-es256 --sub user-1001 --aud billing) ||
    die 'could not mint a token for billing'
refused WRONG_AUDIENCE "$other"

step '7. signetd stops when told to, and its keys are gone'
kill -TERM "$daemon"
status=0
wait "$daemon" || status=$?
daemon=
[[ $status -eq 0 ]] || die "signetd ended with status $status"
status=0
"$bin/examples/orders" "Bearer $token" >"$scratch/out" 2>&1 || status=$?
show <"$scratch/out"
[[ $status -eq 3 ]] || die 'without a daemon there should be no verdict'

printf '\n%sAll came out as told.%s Next: README.md, and %s/signet help\n' \
    "$green" "$plain" "$bin"
