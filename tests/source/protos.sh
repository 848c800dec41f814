#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The contract compiles with stock protoc for other languages: protos.sh SOURCE_DIR
set -euo pipefail

source_dir=$1
# shellcheck source=tests/source/lib.sh
source "$source_dir/tests/source/lib.sh"
cd "$source_dir/proto"

out=$(mktemp -d "${TMPDIR:-/tmp}/signet-test.XXXXXX")
trap 'rm -rf -- "$out"' EXIT

files signet -name '*.proto'
protoc -I. --python_out="$out" --cpp_out="$out" "${found[@]}" || complain "protoc refused the contract"
for proto in "${found[@]}"; do
    [[ -s $out/${proto%.proto}_pb2.py ]] || complain "protoc made nothing of $proto"
done

conclude protos
