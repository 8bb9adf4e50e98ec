/* SPDX-License-Identifier: MIT */
/* AMD-Vi event log entries (48882 2.5, hwspec 7.3). */
#include <pviommu/amdvi.h>

#include "spec.h"

void pvi_amdvi_event_decode(const uint64_t w[2], struct pvi_fault *f)
{
    unsigned code = (unsigned)(w[0] >> AMDVI_EVENT_CODE_LO);
    bool tagged = code == AMDVI_EVENT_IO_PAGE_FAULT || code == AMDVI_EVENT_PAGE_TAB_HW_ERROR;
    uint16_t tag = (uint16_t)(w[0] >> AMDVI_EVENT_DID_LO);

    f->iova = w[1];
    f->rid = (uint16_t)w[0];
    f->code = (uint16_t)(w[0] >> AMDVI_EVENT_FLAGS_LO);
    f->did = 0;
    f->pasid = 0;
    if (tagged && (w[0] & AMDVI_EVENT_GN) != 0) {
        f->pasid = (uint32_t)(w[0] & AMDVI_EVENT_PASID_HI) | tag;
    } else if (tagged) {
        f->did = tag; /* in all other events these bits are part of a PASID or unused */
    }
    /* Requests without PASID use the table of PASID 0 (GIoV), and no event tells them apart. */
    f->has_pasid = f->pasid != 0;
    f->write = (w[0] & AMDVI_EVENT_RW) != 0;
    /* I marks an interrupt request that found no interrupt table entry: not a DMA. */
    f->translation = code == AMDVI_EVENT_IO_PAGE_FAULT && (w[0] & AMDVI_EVENT_I) == 0;
}

const char *pvi_amdvi_event_name(unsigned code)
{
    switch (code) {
    case AMDVI_EVENT_ILLEGAL_DTE:
        return "illegal device table entry";
    case AMDVI_EVENT_IO_PAGE_FAULT:
        return "I/O page fault";
    case AMDVI_EVENT_DEV_TAB_HW_ERROR:
        return "hardware error reading the device table";
    case AMDVI_EVENT_PAGE_TAB_HW_ERROR:
        return "hardware error reading a page table";
    case AMDVI_EVENT_ILLEGAL_COMMAND:
        return "illegal command";
    case AMDVI_EVENT_COMMAND_HW_ERROR:
        return "hardware error reading the command ring";
    case AMDVI_EVENT_IOTLB_INV_TIMEOUT:
        return "device did not acknowledge an IOTLB invalidation";
    case AMDVI_EVENT_INVALID_DEVICE_REQUEST:
        return "invalid device request";
    case AMDVI_EVENT_INVALID_PPR_REQUEST:
        return "invalid peripheral page request";
    case AMDVI_EVENT_COUNTER_ZERO:
        return "event counter reached zero";
    case AMDVI_EVENT_GUEST_FAULT:
        return "guest event fault";
    case AMDVI_EVENT_RMP_PAGE_FAULT:
        return "reverse map page fault";
    case AMDVI_EVENT_RMP_HW_ERROR:
        return "hardware error in the reverse map";
    default:
        return "unknown event";
    }
}
