# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the checks on the sources share. A check reports everything that it finds, then fails.

failures=0

# complain TEXT: one finding.
complain() {
    printf 'FAIL %s\n' "$*"
    failures=$((failures + 1))
}

# forbid RULE PATTERN FILE ...: no line of the files may match the extended regular expression.
forbid() {
    local rule=$1 pattern=$2 lines
    shift 2
    if [[ $# -eq 0 ]]; then
        complain "$rule: no files to look at; did they move?"
        return
    fi
    if lines=$(grep -nHE -- "$pattern" "$@"); then
        complain "$rule"
        printf '%s\n' "$lines" | sed 's/^/     /'
    fi
}

# demand RULE PATTERN FILE: the file must have a line that matches.
demand() {
    grep -qE -- "$2" "$3" || complain "$1: $3"
}

# files FIND-ARGUMENT ...: fills the array found.
files() {
    # shellcheck disable=SC2034 # read by those who source this
    mapfile -t found < <(find "$@" -type f | sort)
}

conclude() {
    if [[ $failures -gt 0 ]]; then
        printf '%s: %d finding(s)\n' "$1" "$failures"
        exit 1
    fi
    printf '%s: nothing to complain about\n' "$1"
}
