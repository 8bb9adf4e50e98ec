#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds and runs downstream programs the ways that users do. Called by ctest:
#
#     consume.sh STEP WORK-DIRECTORY COMPILER
#
#   install           installs the library into the work directory, for the steps that need it
#   find_package      a CMake project with the installed library
#   pkg_config        a compiler and pkg-config with the installed library
#   add_subdirectory  a CMake project that carries the source
#   source_list       one compiler call: the program, the userspace host and the files of pviommu.mk
#   tiny              the little hypervisor of examples/tiny, by its own Makefile, with sanitizers
#   readme            the example in the README is the one that the steps above compile

set -eu

here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
step=$1
work=$2
CC=$3
mkdir -p "$work"
export CC
prefix=$work/prefix
embed=$source/examples/embed.c

# Configures, builds and runs a project of this directory.
cmake_project()
{
    dir=$work/$step
    rm -rf "$dir"
    cmake -G Ninja -S "$here/$step" -B "$dir" --log-level=WARNING -DEMBED_SOURCE="$embed" "$@" >/dev/null
    cmake --build "$dir" -j 2 -- --quiet
    "$dir/app"
    "$dir/embed"
}

case $step in
install)
    rm -rf "$work/library" "$prefix"
    cmake -G Ninja -S "$source" -B "$work/library" --log-level=WARNING \
        -DPVIOMMU_TESTS=OFF -DPVIOMMU_TOOLS=OFF -DCMAKE_INSTALL_PREFIX="$prefix" >/dev/null
    cmake --build "$work/library" -j 2 -- --quiet
    cmake --install "$work/library" >/dev/null
    ;;
find_package)
    cmake_project -DCMAKE_PREFIX_PATH="$prefix"
    ;;
add_subdirectory)
    cmake_project -DPVIOMMU_SOURCE="$source"
    ;;
pkg_config)
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name pviommu.pc)")
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046
    $CC -o "$work/app" "$here/app.c" $(pkg-config --cflags --libs pviommu)
    "$work/app"
    # shellcheck disable=SC2046
    $CC -o "$work/embed" "$embed" $(pkg-config --cflags --libs pviommu-posix)
    "$work/embed"
    ;;
source_list)
    cd "$source"
    # shellcheck disable=SC2046
    $CC -std=gnu11 -o "$work/single" -I include -I shim/posix/include "$embed" \
        $(sed -n 's/^PVIOMMU_[A-Z_]*_SRCS += \([^ $]*\.c\)$/\1/p' pviommu.mk)
    "$work/single"
    ;;
tiny)
    rm -rf "$work/tiny"
    make -s -C "$source/examples/tiny" -j 2 CC="$CC" OUT="$work/tiny" SANITIZE=address,undefined check
    ;;
readme)
    # The example is the first C block of the README.
    awk '/^```c$/ { inside = 1; next } /^```$/ && inside { exit } inside' "$source/README.md" \
        >"$work/readme.c"
    sed '/SPDX-License-Identifier/d' "$embed" | diff -u - "$work/readme.c"
    ;;
*)
    echo "consume.sh: unknown step '$step'" >&2
    exit 2
    ;;
esac
