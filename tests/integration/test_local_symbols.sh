#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The header and libsignet-local name the same function, and the library needs what is said and nothing else.
# Usage: test_local_symbols.sh LIBRARY SOURCE_DIR SANITIZE
set -eu
library=$1 source=$2 sanitize=$3

exported=$(nm -D --defined-only "$library" | awk '{ print $3 }' | grep -v '^SIGNET_' | tr '\n' ' ')
test "$exported" = "signet_local_attach@@SIGNET_LOCAL_0 " || { echo "exports: $exported"; exit 1; }
declared=$(tr '\n' ' ' <"$source/client/include/signet/local.h" | grep -o 'SIGNET_API [^;(]*(' |
    sed 's/.*[ *]\(signet_[a-z0-9_]*\)($/\1/' | tr '\n' ' ')
test "$declared" = "signet_local_attach " || { echo "the header declares: $declared"; exit 1; }

if [ -z "$sanitize" ]; then
    readelf -d "$library" | grep -q 'SONAME.*\[libsignet-local.so.0\]' || {
        echo "the soname is not libsignet-local.so.0"
        exit 1
    }
    needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | tr '\n' ' ')
    for file in $needed; do
        case $file in
        libc.so.* | ld-linux* | libsignet.so.0 | libcrypto.so.* | libjansson.so.* | libprotobuf-c.so.* | libxxhash.so.*) ;;
        *)
            echo "needs $file, which is too much"
            exit 1
            ;;
        esac
    done
fi
