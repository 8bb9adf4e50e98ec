# SPDX-License-Identifier: MIT
# Shared by the scripts; sourced, not run. Sets root and build_root, and knows the terminal.
# shellcheck shell=sh disable=SC2034

root=$(cd "$(dirname "$0")/.." && pwd) || exit 1
build_root=${PVIOMMU_BUILD_DIR:-$root/build}
me=${0##*/}

die()
{
    printf '%s: %s\n' "$me" "$*" >&2
    exit 1
}

on_terminal()
{
    [ -t 1 ]
}

# Prints the comment block that stands at the top of a script, without the licence line.
usage()
{
    awk 'NR > 2 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

# Configures and builds a preset in a directory below build_root: configure_and_build <preset> <name>
# [<cmake argument>...]. The whole log is shown on a terminal; elsewhere only warnings and errors are.
configure_and_build()
{
    cab_preset=$1
    cab_dir=$build_root/$2
    shift 2
    if on_terminal; then
        (cd "$root" && cmake --preset "$cab_preset" -B "$cab_dir" "$@") || return 1
        cmake --build "$cab_dir" -j 2
    else
        (cd "$root" && cmake --preset "$cab_preset" -B "$cab_dir" --log-level=WARNING "$@" >/dev/null) ||
            return 1
        cmake --build "$cab_dir" -j 2 -- --quiet
    fi
}

# Every file of the project, one a line, relative to root: what git knows or would add; without git
# everything but the build directory.
project_files()
{
    (
        cd "$root" || exit 1
        git -c safe.directory="$root" ls-files -co --exclude-standard 2>/dev/null ||
            find . -name .git -prune -o -path ./build -prune -o -type f -print | sed 's,^\./,,'
    ) | while IFS= read -r file; do
        [ -f "$root/$file" ] && printf '%s\n' "$file"
    done | LC_ALL=C sort
}

# The library's sources, as pviommu.mk lists them (the userspace host is not part of it).
library_sources()
{
    sed -n 's/^PVIOMMU_[A-Z_]*_SRCS += \([^ $]*\.c\)$/\1/p' "$root/pviommu.mk" | grep -v '^shim/'
}
