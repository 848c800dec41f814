#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Every header compiles alone; the public ones also as C99 and as C++17.
# headers.sh SOURCE_DIR BUILD_DIR CC CXX
set -euo pipefail

source_dir=$1
build_dir=$2
cc=$3
cxx=$4
# shellcheck source=tests/source/lib.sh
source "$source_dir/tests/source/lib.sh"
cd "$source_dir"

# compiles FILE COMMAND ...: the file twice, since guards are part of it, and a declaration, since a
# translation unit may not be empty.
compiles() {
    local file=$1
    shift
    printf '#include "%s"\n#include "%s"\nextern int nothing;\n' "$file" "$file" |
        "$@" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x "$language" - ||
        complain "$file does not compile alone as $standard"
}

language=c
standard=gnu11
files common client server tests -name '*.h'
for header in "${found[@]}"; do
    compiles "$header" "$cc" -std=$standard -D_GNU_SOURCE -I. -Icommon/include -Iclient/include \
        -I"$build_dir/generated"
done

# What is installed, with nothing else of ours in reach.
files common/include client/include -name '*.h'
for header in "${found[@]}"; do
    for standard in c99 c++17; do
        compiler=$cc
        language=c
        if [[ $standard == c++17 ]]; then
            compiler=$cxx
            language=c++
        fi
        compiles "${header#*/include/}" "$compiler" -std=$standard -Icommon/include -Iclient/include
    done
done

conclude headers
