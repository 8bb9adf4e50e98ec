/* SPDX-License-Identifier: MIT */
/*
 * Fault records: decode, and what the reasons mean. VT-d 7.1.3, 7.2.1; hwspec 5.1, 5.3.
 */
#include <pviommu/vtd.h>

#include "spec.h"

bool pvi_vtd_fault_decode(uint64_t lo, uint64_t hi, struct pvi_fault *out)
{
    uint16_t code = VTD_FRCD_FR(hi);
    bool t1 = (hi & VTD_FRCD_T1) != 0, t2 = (hi & VTD_FRCD_T2) != 0;

    if (!(hi & VTD_FRCD_F)) {
        return false;
    }
    out->translation = code < VTD_FR_IR_FIRST || code > VTD_FR_IR_LAST;
    /*
     * An interrupt request has an index in the top bits instead of an address; it is handed on as
     * it stands.
     */
    out->iova = out->translation ? lo & VTD_FRCD_FI : lo;
    out->rid = VTD_FRCD_SID(hi);
    out->code = code;
    out->did = 0;
    out->has_pasid = (hi & VTD_FRCD_PP) != 0;
    out->pasid = out->has_pasid ? VTD_FRCD_PV(hi) : 0; /* else the field means nothing */
    /*
     * {T1, T2}: 00 write, 01 page request, 10 read, 11 atomic operation, which needs write access
     * too.
     */
    out->write = t1 == t2;
    return true;
}

/* Reasons of legacy mode, from 0x01. */
static const char *const legacy[] = {
    "root entry not present",
    "context entry not present",
    "context entry invalid: width or type that the unit has not, or root table unreadable",
    "address beyond the width of the table or of the unit",
    "write not permitted or not mapped",
    "read not permitted or not mapped",
    "second-stage entry unreadable",
    "root entry unreadable",
    "context entry unreadable",
    "reserved bit in root entry",
    "reserved bit in context entry",
    "reserved bit in second-stage entry",
    "translated or translation request blocked by the context entry",
    "page lies in the interrupt address range",
};

/* Reasons of interrupt remapping, from 0x20. */
static const char *const remapping[] = {
    "interrupt: reserved field in the request",
    "interrupt: index beyond the table",
    "interrupt: table entry not present",
    "interrupt: table entry unreadable",
    "interrupt: reserved field in the table entry",
    "interrupt: compatibility format blocked",
    "interrupt: source id refused",
    "interrupt: posted descriptor unreadable",
    "interrupt: reserved field in the posted descriptor",
};

/* Reasons of the root table register, from 0x30. */
static const char *const register_[] = {
    "root table address: mode that the unit has not",
    "request with PASID in legacy mode",
    "page request in legacy mode",
};

#define PICK(table, first)                                                                         \
    if (code >= (first) && code < (first) + sizeof(table) / sizeof((table)[0]))                    \
    return (table)[code - (first)]

const char *pvi_vtd_fault_string(uint16_t code)
{
    PICK(legacy, 0x01u);
    PICK(remapping, VTD_FR_IR_FIRST);
    PICK(register_, 0x30u);
    return "unknown reason";
}
