#!/bin/sh
# Runs every fuzz target for SECONDS over the committed corpus, which stays as it is.
# Exit code 0: nothing broke. What broke something is left in fuzz/artifacts.
# Needs a nightly toolchain and cargo-fuzz.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: fuzz/run.sh SECONDS" >&2
    exit 2
fi
seconds=$1
cd "$(dirname "$0")/.."

found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT

cargo +nightly fuzz build
for target in frames hpack connections hostile; do
    echo "fuzzing $target for $seconds s"
    # New inputs go to the first directory, the others are only read. The limits are what a target may
    # take: one allocation and all of them, MB; one input, s.
    mkdir "$found/$target"
    cargo +nightly fuzz run "$target" "$found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=2048 -malloc_limit_mb=16 -rss_limit_mb=2048 \
        -timeout=20 -verbosity=0
done
