#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: boot.sh vtd|amdvi KERNEL
#
# Boots the kernel in QEMU ($QEMU, or qemu-system-x86_64) with that unit and two edu devices; what the kernel
# prints goes to stdout. Exit status: 0 when every check passed, 77 without QEMU.

set -u

qemu=${QEMU:-qemu-system-x86_64}
if ! command -v "$qemu" >/dev/null 2>&1; then
    echo "$qemu is not installed"
    exit 77
fi
case $1 in
vtd) unit=intel-iommu,intremap=off,aw-bits=48 ;;
amdvi) unit=amd-iommu,intremap=off,pt=off ;;
*)
    echo "boot.sh: unknown unit '$1'" >&2
    exit 2
    ;;
esac

timeout 60 "$qemu" -M q35 -nodefaults -display none -m 2G -accel tcg -icount shift=3,sleep=off \
    -device isa-debug-exit,iobase=0xf4,iosize=4 -debugcon stdio -no-reboot \
    -device "$unit" -device edu,dma_mask=0xffffffffffffffff -device edu,dma_mask=0xffffffffffffffff \
    -kernel "$2" </dev/null
status=$?

# The kernel leaves by a port write of v, which QEMU turns into 2v + 1.
case $status in
33) exit 0 ;;
35) echo "boot.sh: checks failed" ;;
124) echo "boot.sh: no end within 60 seconds" ;;
127) echo "boot.sh: the kernel took an exception" ;;
*) echo "boot.sh: unexpected exit status $status of QEMU" ;;
esac
exit 1
