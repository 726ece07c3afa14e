#!/bin/sh
# Fills a file system until no more than some bytes are left; runs in a node's mount namespace.
# Arguments: mount point, the name of the file that fills it, how many bytes to leave.
set -eu
cd "$1"
file=$2 leave=$3 size=0
umask 077
: >"$file"
spare() {
    # Blocks that others have written but the file system has not yet given a place count as taken.
    sync -f "$file"
    set -- $(stat -f -c '%a %S' "$file")
    echo $(($1 * $2 - leave))
}
step=$(spare)
while [ "$step" -ge 4096 ]; do
    if fallocate -o "$size" -l "$step" "$file" 2>/dev/null; then
        size=$((size + step))
        step=$(spare)
    else
        # The file system needs blocks for itself, too.
        step=$((step / 2))
        left=$(spare)
        [ "$step" -le "$left" ] || step=$left
    fi
done
