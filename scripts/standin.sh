# SPDX-License-Identifier: MIT
# Xen without Xen; sourced after common.sh, not run.
# shellcheck shell=sh disable=SC2154

standin=$root/tests/xen/standin

# standin_tree DIR: the project where a Xen tree has it, among the stand-ins of Xen's headers. A copy, since the shim finds Xen's drivers by way
# of its own directory. Sets project to where it lies.
standin_tree()
{
    project=$1/drivers/passthrough/pviommu
    mkdir -p "$project"
    cp -R "$root/include" "$root/src" "$root/shim" "$root/pviommu.mk" "$project"
    cp -R "$standin/vtd" "$standin/amd" "$1/drivers/passthrough"
    cp -R "$standin/include" "$1"
}
