#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The rules between directories (ARCHITECTURE.md, "Direction"), on includes, on calls, and on what
# was linked: layering.sh SOURCE_DIR BUILD_DIR
set -euo pipefail

source_dir=$1
build_dir=$2
# shellcheck source=tests/source/lib.sh
source "$source_dir/tests/source/lib.sh"
cd "$source_dir"

readonly include='^[[:space:]]*#[[:space:]]*include[[:space:]]*'
is_c=(\( -name '*.c' -o -name '*.h' \))

# ---- Includes ----

files common "${is_c[@]}"
forbid "common includes neither client nor server" "${include}[<\"](client|server|signet/client)" \
    "${found[@]}"
files client "${is_c[@]}"
forbid "client never includes server" "${include}[<\"]server/" "${found[@]}"
files server "${is_c[@]}"
forbid "server never includes client" "${include}[<\"](client/|signet/client)" "${found[@]}"
files client common server "${is_c[@]}"
forbid "nothing that is shipped includes tests" "${include}[<\"]tests/" "${found[@]}"
files client common server tests "${is_c[@]}"
forbid "includes are paths from the root" "${include}\"\.\.?/" "${found[@]}"

files client common server "${is_c[@]}" -not -path 'server/listener*'
forbid "only server/listener includes nng" "${include}[<\"]nng/" "${found[@]}"
files client common server "${is_c[@]}" -not -path 'common/jose/*' -not -path 'common/seal/*' \
    -not -path 'common/digest/*' -not -path 'client/local*' -not -path 'client/seal/*' \
    -not -path 'server/keyholder/*' -not -path 'server/keystore_tool/*'
forbid "only common/{jose,seal,digest}, client/local, client/seal and the keyholder's side include OpenSSL" \
    "${include}[<\"]openssl/" "${found[@]}"
files client common -maxdepth 1 "${is_c[@]}" -not -name 'local*'
forbid "libsignet and what it stands on include no JOSE, JSON or YAML" \
    "${include}[<\"](common/jose/|jansson|cyaml|yaml)" "${found[@]}"
files client "${is_c[@]}" -not -path 'client/seal/*'
forbid "only signet-seal includes what seals keys" "${include}[<\"](client/seal/|common/seal/)" \
    "${found[@]}"
files server/keyholder "${is_c[@]}"
forbid "the keyholder knows no protobuf and no JSON" \
    "${include}[<\"](protobuf-c/|signet/v1/|signet/rpc/|jansson|server/[a-z_]*\.h)" "${found[@]}"
files server/keystore_tool "${is_c[@]}"
forbid "signet-keystore knows no protobuf, no JSON and nothing of the front" \
    "${include}[<\"](protobuf-c/|signet/v1/|signet/rpc/|jansson|cyaml|server/[a-z_]*\.h)" "${found[@]}"
files server/keyholder -name '*.h' -not -name keyholder.h -not -name keystore_door.h \
    -not -name packet.h -not -name passing.h -not -name turns.h
inside=$(printf '%s\n' "${found[@]}" | paste -sd '|')
inside_but_filter=$(printf '%s\n' "${found[@]}" | grep -v /filter | paste -sd '|')
files server -maxdepth 1 "${is_c[@]}" -not -name 'confine_*.c'
forbid "the front reaches keys through the keyholder's doors and packets only" \
    "${include}\"($inside)\"" "${found[@]}"
forbid "other filters are made with the keyholder's tool, and nothing else of it" \
    "${include}\"($inside_but_filter)\"" server/confine_front.c server/confine_resolver.c
files client common server "${is_c[@]}" -not -path 'server/keyholder/filter.*'
forbid "only server/keyholder/filter includes libseccomp" "${include}[<\"]seccomp\.h" "${found[@]}"

# ---- Calls ----

# What makes, reads, writes or uses a private key or a secret.
readonly private_key='\b(EVP_PKEY_(sign|keygen|generate|Q_keygen|get_raw_private_key|new_raw_private_key|'\
'new_mac_key|fromdata_private)|EVP_(RSA|EC)_gen|EVP_DigestSign|EVP_MAC_|HMAC(_[A-Za-z]+)? *\(|'\
'd2i_(AutoPrivateKey|PrivateKey|PKCS8)|i2d_(PrivateKey|PKCS8)|PEM_(read|write)_[A-Za-z_0-9]*PrivateKey|'\
'EVP_PKEY2PKCS8|EVP_PKCS82PKEY)'
# common/jose/alg_cost makes keys to measure how long algorithms take, and throws them away.
files client common server "${is_c[@]}" -not -path 'server/keyholder/*' \
    -not -path 'server/keystore_tool/*' -not -path 'common/jose/jwk*' -not -path 'common/seal/*' \
    -not -path 'client/seal/*' -not -path 'common/jose/alg_cost.c'
forbid "only the keyholder's side and what seals keys for it touch private keys and secrets" "$private_key" \
    "${found[@]}"

files common "${is_c[@]}"
library=("${found[@]}")
files client -maxdepth 1 "${is_c[@]}"
library+=("${found[@]}")
files server/keyholder "${is_c[@]}" -not -name channels.c -not -name main.c
library+=("${found[@]}")
forbid "library code never prints, logs, exits or aborts" \
    '(^|[^A-Za-z0-9_.>])(v?f?printf|v?dprintf|f?puts|putchar|perror|v?syslog|abort|_?exit|assert|err|errx|warn|warnx) *\(' \
    "${library[@]}"

files server -maxdepth 1 "${is_c[@]}" -not -name 'log.[ch]' -not -name 'main.c' -not -name 'options.c'
forbid "only server/log prints (and main and options, before the daemon runs)" \
    '(^|[^A-Za-z0-9_.>])(v?f?printf|v?dprintf|f?puts|putchar|perror|v?syslog) *\(' "${found[@]}"

forbid "the keyholder's process prints nothing (but main, before it has a key)" \
    '(^|[^A-Za-z0-9_.>])(v?f?printf|v?dprintf|f?puts|putchar|perror|v?syslog|err|errx|warn|warnx) *\(' \
    server/keyholder/channels.c

# ---- What was linked ----

# archive_lacks RULE ARCHIVE PATTERN: no undefined symbol of the archive may match.
archive_lacks() {
    local symbols
    if [[ ! -f $build_dir/$2 ]]; then
        complain "$1: $build_dir/$2 was not built"
        return
    fi
    if symbols=$(nm -u "$build_dir/$2" 2>/dev/null | awk '$1 == "U" { print $2 }' | sort -u |
        grep -E "$3"); then
        complain "$1: $2 uses $(tr '\n' ' ' <<<"$symbols")"
    fi
}

readonly openssl='^(EVP|OSSL|RSA|EC|ECDSA|BN|OPENSSL|CRYPTO|ERR|RAND|HMAC|PEM|X509|ASN1|d2i|i2d|o2i|i2o)_'
archive_lacks "common knows bytes only" common/libsg_common.a "$openssl|^json_|^nng_|^cyaml_|^pthread_create"
archive_lacks "JOSE knows no network" common/libsg_jose.a '^(nng_|cyaml_|socket$|connect$|open(64)?$)'
archive_lacks "the digest knows bytes only" common/libsg_digest.a \
    '^(protobuf_c_|json_|nng_|cyaml_|pthread_create|socket$|connect$|open(64)?$)'
archive_lacks "the reader of the trust board knows one file, starts no thread and handles no signal" \
    common/libsg_board.a \
    "$openssl|^(protobuf_c_|json_|nng_|cyaml_|socket\$|connect\$|pthread_|fork\$|sigaction\$|signal\$|raise\$)"
archive_lacks "the server uses neither OpenSSL nor nng itself" server/libsg_server.a "$openssl|^nng_"
archive_lacks "the listener knows no cryptography" server/libsg_listener.a "$openssl|^json_"
archive_lacks "the keyholder knows no protobuf, JSON or network" server/libsg_keyholder.a \
    '^(protobuf_c_|signet__|json_|nng_|cyaml_|socket$|connect$)'
archive_lacks "the keyholder's process knows no protobuf, JSON or network, and makes no socket" \
    server/libsg_keyholder_serving.a '^(protobuf_c_|signet__|json_|nng_|cyaml_|socket$|connect$|accept4?$)'
archive_lacks "the daemon's side of the keyholder knows no cryptography" server/libsg_keyholder_client.a \
    "$openssl|^(protobuf_c_|json_|nng_|cyaml_)"
archive_lacks "what both sides know of each other knows bytes only" server/libsg_keyholder_door.a \
    "$openssl|^(protobuf_c_|json_|nng_|cyaml_|socket$|connect$)"
archive_lacks "the stub starts no thread, raises no signal and needs no JSON" client/libsg_client.a \
    "$openssl|^(json_|nng_|cyaml_|pthread_create|thrd_create|fork|sigaction|signal|raise|abort|exit|printf|__printf_chk|puts)\$"

archive_lacks "libsignet-local starts no thread, raises no signal, asks nobody and prints nothing" client/libsg_local.a \
    '^(nng_|cyaml_|socket|connect|pthread_create|thrd_create|fork|sigaction|signal|raise|abort|exit|printf|__printf_chk|puts)$'

# names FILE: what it defines for others.
names() {
    nm --defined-only --extern-only "$1" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u
}

# lacks_code RULE PROGRAM ARCHIVE: nothing that the archive defines may be in the program.
lacks_code() {
    local program=$build_dir/$2 archive=$build_dir/$3 shared
    if [[ -z $(names "$program") || -z $(names "$archive") ]]; then
        complain "$1: $program or $archive was not built, or has no symbols"
        return
    fi
    shared=$(comm -12 <(nm "$program" | awk '{ print $NF }' | sort -u) <(names "$archive"))
    [[ -z $shared ]] || complain "$1: $2 has $(tr '\n' ' ' <<<"$shared")"
}

lacks_code "signetd has no code that holds keys" bin/signetd server/libsg_keyholder.a
lacks_code "signetd has no code that serves keys" bin/signetd server/libsg_keyholder_serving.a
lacks_code "signet-keyholder has no code of the front" bin/signet-keyholder server/libsg_server.a
lacks_code "signet-keyholder has no code of the front" bin/signet-keyholder server/libsg_listener.a

# needs_only RULE PATTERN FILE: every library that the file needs must match.
needs_only() {
    local rule=$1 pattern=$2 file=$3 others
    if [[ ! -f $file ]]; then
        complain "$rule: $file was not built"
        return
    fi
    if others=$(readelf -d "$file" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE "$pattern"); then
        complain "$rule: $file needs $(tr '\n' ' ' <<<"$others")"
    fi
}

# Not of a build with sanitizers, which bring libraries of their own.
shared=$(find "$build_dir" -name 'libsignet.so' -not -path '*/install/*' | head -n 1)
needs_only "libsignet needs libc, protobuf-c and xxhash only" \
    '^(libc|libprotobuf-c|libxxhash|ld-linux[a-z0-9-]*)\.so' "${shared:-libsignet.so}"
shared=$(find "$build_dir" -name 'libsignet-local.so' -not -path '*/install/*' | head -n 1)
needs_only "libsignet-local needs libsignet and what tokens are judged with" \
    '^(libc|libsignet|libprotobuf-c|libxxhash|libjansson|libcrypto|ld-linux[a-z0-9-]*)\.so' \
    "${shared:-libsignet-local.so}"
needs_only "signet needs neither nng, YAML nor OpenSSL" \
    '^(libc|libm|libprotobuf-c|libxxhash|libjansson|ld-linux[a-z0-9-]*)\.so' \
    "$build_dir/bin/signet"
needs_only "signet-seal needs what keys are read with" \
    '^(libc|libm|libprotobuf-c|libxxhash|libjansson|libcrypto|ld-linux[a-z0-9-]*)\.so' \
    "$build_dir/bin/signet-seal"
needs_only "signet-keystore needs libc and OpenSSL only" \
    '^(libc|libm|libcrypto|ld-linux[a-z0-9-]*)\.so' "$build_dir/bin/signet-keystore"
needs_only "signet-keyholder needs libc, OpenSSL and libseccomp only" \
    '^(libc|libcrypto|libseccomp|ld-linux[a-z0-9-]*)\.so' "$build_dir/bin/signet-keyholder"
needs_only "signetd needs what it is written on" \
    '^(libc|libm|libprotobuf-c|libjansson|libcrypto|libnng|libcyaml|libyaml-0|libseccomp|libsqlite3|libxxhash|ld-linux[a-z0-9-]*)\.so' \
    "$build_dir/bin/signetd"

conclude layering
