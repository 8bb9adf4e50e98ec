# SPDX-License-Identifier: MIT
#
# The one list of the library's sources: make syntax, one file a line, paths relative to this file.
# A foreign build system includes it and compiles what it needs with
#
#     -I include -I <directory of its own pviommu_env.h>
#
# CMake reads the same lines (cmake/pviommu-sources.cmake). Order within a list means nothing.

# What every host needs.
PVIOMMU_CORE_SRCS :=
PVIOMMU_CORE_SRCS += src/core/attach.c
PVIOMMU_CORE_SRCS += src/core/balloon.c
PVIOMMU_CORE_SRCS += src/core/bus.c
PVIOMMU_CORE_SRCS += src/core/bus_copy.c
PVIOMMU_CORE_SRCS += src/core/bus_own.c
PVIOMMU_CORE_SRCS += src/core/bus_range.c
PVIOMMU_CORE_SRCS += src/core/context.c
PVIOMMU_CORE_SRCS += src/core/context_range.c
PVIOMMU_CORE_SRCS += src/core/did.c
PVIOMMU_CORE_SRCS += src/core/dispatch.c
PVIOMMU_CORE_SRCS += src/core/domain.c
PVIOMMU_CORE_SRCS += src/core/foreign.c
PVIOMMU_CORE_SRCS += src/core/gather.c
PVIOMMU_CORE_SRCS += src/core/held.c
PVIOMMU_CORE_SRCS += src/core/lock.c
PVIOMMU_CORE_SRCS += src/core/nested.c
PVIOMMU_CORE_SRCS += src/core/ops.c
PVIOMMU_CORE_SRCS += src/core/ops_map.c
PVIOMMU_CORE_SRCS += src/core/ops_range.c
PVIOMMU_CORE_SRCS += src/core/pagetable.c
PVIOMMU_CORE_SRCS += src/core/pasid.c
PVIOMMU_CORE_SRCS += src/core/passthrough.c
PVIOMMU_CORE_SRCS += src/core/region.c
PVIOMMU_CORE_SRCS += src/core/revmap.c
PVIOMMU_CORE_SRCS += src/core/sync.c
PVIOMMU_CORE_SRCS += src/core/system.c
PVIOMMU_CORE_SRCS += src/core/tx.c
PVIOMMU_CORE_SRCS += src/core/tx_log.c
PVIOMMU_CORE_SRCS += src/core/tx_undo.c
PVIOMMU_CORE_SRCS += src/core/usage.c
PVIOMMU_CORE_SRCS += src/core/window.c
PVIOMMU_CORE_SRCS += src/pool/pool.c

# VT-d: format, entries, descriptors, faults, firmware tables.
PVIOMMU_VTD_SRCS :=
PVIOMMU_VTD_SRCS += src/vtd/caps.c
PVIOMMU_VTD_SRCS += src/vtd/context.c
PVIOMMU_VTD_SRCS += src/vtd/dmar.c
PVIOMMU_VTD_SRCS += src/vtd/fault.c
PVIOMMU_VTD_SRCS += src/vtd/fs.c
PVIOMMU_VTD_SRCS += src/vtd/inval.c
PVIOMMU_VTD_SRCS += src/vtd/pasid.c
PVIOMMU_VTD_SRCS += src/vtd/ss.c

# VT-d: drives a unit; only for a host without a driver of its own.
PVIOMMU_VTD_UNIT_SRCS :=
PVIOMMU_VTD_UNIT_SRCS += src/vtd/queue.c
PVIOMMU_VTD_UNIT_SRCS += src/vtd/scalable.c
PVIOMMU_VTD_UNIT_SRCS += src/vtd/unit.c

# AMD-Vi: format, entries, commands, events, firmware tables.
PVIOMMU_AMDVI_SRCS :=
PVIOMMU_AMDVI_SRCS += src/amdvi/caps.c
PVIOMMU_AMDVI_SRCS += src/amdvi/command.c
PVIOMMU_AMDVI_SRCS += src/amdvi/devtab.c
PVIOMMU_AMDVI_SRCS += src/amdvi/event.c
PVIOMMU_AMDVI_SRCS += src/amdvi/gcr3.c
PVIOMMU_AMDVI_SRCS += src/amdvi/ivrs.c
PVIOMMU_AMDVI_SRCS += src/amdvi/v1.c
PVIOMMU_AMDVI_SRCS += src/amdvi/v2.c

# AMD-Vi: drives a unit; only for a host without a driver of its own.
PVIOMMU_AMDVI_UNIT_SRCS :=
PVIOMMU_AMDVI_UNIT_SRCS += src/amdvi/ring.c
PVIOMMU_AMDVI_UNIT_SRCS += src/amdvi/unit.c

# What guests speak: one file a wire format; only for a host with such guests.
PVIOMMU_ABI_SRCS :=
PVIOMMU_ABI_SRCS += src/abi/native.c
PVIOMMU_ABI_SRCS += src/abi/single.c
PVIOMMU_ABI_SRCS += src/abi/xen43.c
PVIOMMU_ABI_SRCS += src/abi/xen43_range.c
PVIOMMU_ABI_SRCS += src/abi/xen43_v3.c
PVIOMMU_ABI_SRCS += src/abi/xen_bus.c
PVIOMMU_ABI_SRCS += src/abi/xen_errno.c

# The userspace host; not part of the library.
PVIOMMU_POSIX_SRCS :=
PVIOMMU_POSIX_SRCS += shim/posix/count.c
PVIOMMU_POSIX_SRCS += shim/posix/foreign.c
PVIOMMU_POSIX_SRCS += shim/posix/guest.c
PVIOMMU_POSIX_SRCS += shim/posix/guest_mem.c
PVIOMMU_POSIX_SRCS += shim/posix/host.c
PVIOMMU_POSIX_SRCS += shim/posix/knobs.c
PVIOMMU_POSIX_SRCS += shim/posix/record.c
PVIOMMU_POSIX_SRCS += shim/posix/record_due.c
PVIOMMU_POSIX_SRCS += shim/posix/record_fmt.c
PVIOMMU_POSIX_SRCS += shim/posix/record_page.c
PVIOMMU_POSIX_SRCS += shim/posix/record_tree.c
PVIOMMU_POSIX_SRCS += shim/posix/record_unit.c
PVIOMMU_POSIX_SRCS += shim/posix/record_view.c
PVIOMMU_POSIX_SRCS += shim/posix/unit_amdvi.c
PVIOMMU_POSIX_SRCS += shim/posix/unit_vtd.c
PVIOMMU_POSIX_SRCS += shim/posix/units.c

PVIOMMU_SRCS := $(PVIOMMU_CORE_SRCS)
PVIOMMU_SRCS += $(PVIOMMU_VTD_SRCS) $(PVIOMMU_VTD_UNIT_SRCS)
PVIOMMU_SRCS += $(PVIOMMU_AMDVI_SRCS) $(PVIOMMU_AMDVI_UNIT_SRCS)
PVIOMMU_SRCS += $(PVIOMMU_ABI_SRCS)
