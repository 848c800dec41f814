#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The headers, the version map and the library name the same functions, but for the one that libsignet-local
# attaches itself with, and the library needs nothing but libc and libprotobuf-c. Usage: test_symbols.sh LIBRARY SOURCE_DIR SANITIZE
set -eu
library=$1 source=$2 sanitize=$3

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
sed -n 's/^ *\(signet_[a-z0-9_]*\);$/\1/p' "$source/client/libsignet.map" | sort >"$dir/map"
# Declarations begin with SIGNET_API, and may go on in the next line.
cat "$source/client/include/signet/client.h" "$source/common/include/signet/status.h" |
    tr '\n' ' ' | grep -o 'SIGNET_API [^;(]*(' | grep -v '__attribute__' |
    sed 's/.*[ *]\(signet_[a-z0-9_]*\)($/\1/' | sort >"$dir/headers"
nm -D --defined-only "$library" | awk '{ print $3 }' | grep -v '^SIGNET_' | sort >"$dir/exported"
sed 's/@@SIGNET_0$//' "$dir/exported" | grep -vx 'sg_client_attach@@SIGNET_PRIVATE' >"$dir/library"
test -s "$dir/headers"
diff "$dir/headers" "$dir/map" || { echo "headers (<) and version map (>) differ"; exit 1; }
diff "$dir/map" "$dir/library" || { echo "version map (<) and library (>) differ"; exit 1; }
echo "$(wc -l <"$dir/map") functions agree"

if [ -z "$sanitize" ]; then
    needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
    echo "needs: $needed"
    test "$needed" = "libc.so.6 libprotobuf-c.so.1 " || { echo "that is too much"; exit 1; }
    readelf -d "$library" | grep -q 'SONAME.*\[libsignet.so.0\]' || {
        echo "the soname is not libsignet.so.0"
        exit 1
    }
fi
