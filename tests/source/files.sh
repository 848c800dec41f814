#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What every source file must and must not have, and that the documentation names what there is:
# files.sh SOURCE_DIR
set -euo pipefail

source_dir=$1
# shellcheck source=tests/source/lib.sh
source "$source_dir/tests/source/lib.sh"
cd "$source_dir"

readonly spdx='SPDX-License-Identifier: Apache-2\.0'
files client common proto server tests dev .ci/run CMakeLists.txt \( -name '*.[ch]' -o -name '*.proto' \
    -o -name '*.sh' -o -name '*.py' -o -name '*.cc' -o -name '*.cmake' \
    -o -name '*.map' -o -name '*.supp' -o -name CMakeLists.txt -o -name dev -o -name run \)
for file in "${found[@]}"; do
    # On the first line, or the second after #!.
    head -n 2 "$file" | grep -qE "$spdx" || complain "no SPDX line: $file"
done
forbid "no white space at the end of a line" '[[:space:]]$' "${found[@]}"
files client common server tests \( -name '*.c' -o -name '*.h' \)
forbid "functions that cannot be used safely" \
    '(^|[^A-Za-z0-9_])(strcpy|stpcpy|strcat|v?sprintf|gets|atoi|atol|atof|alloca|system|popen|strtok|tmpnam|mktemp) *\(' \
    "${found[@]}"
forbid "nothing is left undone" '\b(TODO|FIXME|XXX)\b' "${found[@]}"
forbid "no tabs" $'\t' "${found[@]}"
files client common server \( -name '*.c' -o -name '*.h' \)
forbid "descriptors are close-on-exec" \
    '(^|[^A-Za-z0-9_])(pipe|accept|dup|epoll_create|inotify_init|signalfd_create) *\(' "${found[@]}"

# Every command of dev is in its help and in the documentation.
commands=$(sed -n 's/^cmd_\([a-z]*\)() {$/\1/p' dev)
[[ -n $commands ]] || complain "dev has no commands"
help=$(./dev help)
for command in $commands; do
    grep -qE "^  $command " <<<"$help" || complain "./dev help does not name $command"
    demand "./dev $command is not documented" "\./dev $command" CONTRIBUTING.md
done
for command in demo test; do
    demand "./dev $command is not at the top of the documentation" "^ +\./dev $command" README.md
done

# Links in the documentation to files of the repository lead somewhere.
for page in *.md; do
    while read -r target; do
        [[ $target == http* || -e $target ]] || complain "$page links to $target, which is not there"
    done < <(grep -oE '\]\([^)#]+' "$page" | sed 's/^](//')
done

conclude files
