#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the libraries into a temporary directory and builds a consumer of them, in C and in C++, by
# pkg-config and by find_package, and runs each. Then installs all there is, and looks at the units.
# Usage: test_install.sh CMAKE BUILD_DIR CC SANITIZE
set -eu
cmake=$1 build=$2 cc=$3 sanitize=$4
consumer=$(dirname "$(readlink -f "$0")")/consumer
cxx=${CXX:-c++}

if [ -n "$sanitize" ]; then
    echo "skipped: a library with sanitizers needs its consumers built alike"
    exit 77
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
for component in signet signet-dev; do
    "$cmake" --install "$build" --prefix "$dir/prefix" --component "$component" >"$dir/log" || {
        cat "$dir/log"
        exit 1
    }
done
pc=$(find "$dir/prefix" -name signet.pc)
test -n "$pc" || { echo "signet.pc was not installed"; exit 1; }
libdir=$(dirname "$(dirname "$pc")")
test "$(find "$dir/prefix/include" -type f | wc -l)" -eq 2 || {
    echo "not exactly two headers were installed:"
    find "$dir/prefix/include" -type f
    exit 1
}
for component in signet-local signet-local-dev; do
    "$cmake" --install "$build" --prefix "$dir/prefix" --component "$component" >"$dir/log" || {
        cat "$dir/log"
        exit 1
    }
done
test "$(find "$dir/prefix/include" -type f | wc -l)" -eq 3 || {
    echo "libsignet-local does not have exactly one header"
    exit 1
}

# Each header compiles alone, and twice, in both languages.
for header in signet/client.h signet/local.h signet/status.h; do
    printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$dir/alone.c"
    "$cc" -std=c99 -pedantic -Wall -Wextra -Werror -I"$dir/prefix/include" -fsyntax-only "$dir/alone.c"
    "$cxx" -x c++ -std=c++17 -pedantic -Wall -Wextra -Werror -I"$dir/prefix/include" \
        -fsyntax-only "$dir/alone.c"
done

run() {
    LD_LIBRARY_PATH=$libdir "$@" || { echo "$1 failed"; exit 1; }
}

PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
flags="$(pkg-config --cflags signet) -pedantic -Wall -Wextra -Werror"
libs=$(pkg-config --libs signet)
# Words on purpose: flags and libs are lists.
# shellcheck disable=SC2086
"$cc" -std=c99 $flags "$consumer/consumer.c" -o "$dir/consumer_c" $libs
# shellcheck disable=SC2086
"$cxx" -std=c++17 $flags "$consumer/consumer.cpp" -o "$dir/consumer_cpp" $libs
flags="$(pkg-config --cflags signet-local) -pedantic -Wall -Wextra -Werror"
libs=$(pkg-config --libs signet-local)
# shellcheck disable=SC2086
"$cc" -std=c99 $flags "$consumer/local.c" -o "$dir/consumer_local" $libs
echo "pkg-config:"
run "$dir/consumer_c"
run "$dir/consumer_cpp"
run "$dir/consumer_local"

"$cmake" -S "$consumer" -B "$dir/build" -DCMAKE_PREFIX_PATH="$dir/prefix" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" >"$dir/log" 2>&1 &&
    "$cmake" --build "$dir/build" >>"$dir/log" 2>&1 || {
    cat "$dir/log"
    exit 1
}
echo "find_package:"
run "$dir/build/consumer_c"
run "$dir/build/consumer_cpp"
run "$dir/build/consumer_local"

# All of it.
"$cmake" --install "$build" --prefix "$dir/all" >"$dir/log" || {
    cat "$dir/log"
    exit 1
}
for file in bin/signet sbin/signetd libexec/signet/signet-keyholder libexec/signet/signet-keystore \
    lib/systemd/system/signetd.service lib/systemd/system/signet-keyholder.socket \
    lib/systemd/system/signet-keyholder@.service share/man/man8/signetd.8 \
    share/man/man8/signet-keyholder.8 share/man/man5/signet.yaml.5; do
    test -f "$dir/all/$file" || { echo "$file was not installed"; exit 1; }
done
"$dir/all/libexec/signet/signet-keyholder" --version

# Units name the programs where they were to be installed, and systemd understands every line of them.
units=$dir/all/lib/systemd/system
prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:PATH=//p' "$build/CMakeCache.txt")
if grep -n '@CMAKE' "$units"/*; then
    echo "a path was not filled in"
    exit 1
fi
sed -i "s|=$prefix/|=$dir/all/|" "$units"/*
if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: there is no systemd-analyze to check the units with"
    exit 0
fi
if ! systemd-analyze verify --man=no "$units"/* >"$dir/log" 2>&1 || test -s "$dir/log"; then
    cat "$dir/log"
    exit 1
fi
