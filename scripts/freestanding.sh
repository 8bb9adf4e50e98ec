# SPDX-License-Identifier: MIT
# How the checks compile the library without a libc; sourced after common.sh, not run.
# shellcheck shell=sh disable=SC2034,SC2154

# Sets compilers from the arguments of a check.
parse_compilers()
{
    compilers=
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --compiler)
            [ $# -ge 2 ] || die "--compiler needs a name; see --help"
            compilers="$compilers $2"
            shift
            ;;
        *) die "unknown argument '$1'; see --help" ;;
        esac
        shift
    done
    if [ -z "$compilers" ]; then
        for cc in gcc clang; do
            command -v "$cc" >/dev/null 2>&1 && compilers="$compilers $cc"
        done
    fi
    [ -n "$compilers" ] || die "no compiler found: run scripts/setup"
    [ -n "$(library_sources)" ] || die "pviommu.mk lists no sources"
}

# compile <source> <object> <compiler> <flag>...
compile()
{
    compile_source=$1
    compile_object=$2
    shift 2
    "$@" -m64 -ffreestanding -nostdinc -fno-stack-protector -fno-asynchronous-unwind-tables \
        -mgeneral-regs-only -mno-red-zone -fPIE -fvisibility=hidden \
        -I "$root/include" -I "$root/tests/consumer/hypervisor/include" \
        -c -o "$compile_object" "$compile_source"
}

object_name()
{
    printf '%s\n' "${1%.c}.o" | tr / _
}
