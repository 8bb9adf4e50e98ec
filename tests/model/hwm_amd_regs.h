/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: AMD-Vi register offsets and bits (hwspec 6.2 to 6.5, 7.3), shared by its AMD
 * files.
 */
#ifndef HWM_AMD_REGS_H
#define HWM_AMD_REGS_H

#include "hwm_int.h"

#define A_DEVTAB    0x0000u
#define A_CMDBASE   0x0008u
#define A_EVTBASE   0x0010u
#define A_CONTROL   0x0018u
#define A_EXCLBASE  0x0020u
#define A_EXCLLIMIT 0x0028u
#define A_EFR       0x0030u
#define A_PPRBASE   0x0038u
#define A_SEGMENTS  0x0100u /* segment 1; 7 registers */
#define A_EFR2      0x01a0u
#define A_CMDHEAD   0x2000u
#define A_CMDTAIL   0x2008u
#define A_EVTHEAD   0x2010u
#define A_EVTTAIL   0x2018u
#define A_STATUS    0x2020u

#define C_IOMMUEN      0x1u
#define C_EVENTLOGEN   0x4u
#define C_EVENTINTEN   0x8u
#define C_COMWAITINTEN 0x10u
#define C_COHERENT     0x400u
#define C_CMDBUFEN     0x1000u
#define C_GTEN         0x10000u
#define C_HI_GCR3TRP   0x4000000u /* bit 58 */

#define S_EVENTOVERFLOW 0x1u
#define S_EVENTLOGINT   0x2u
#define S_COMWAITINT    0x4u
#define S_EVENTLOGRUN   0x8u
#define S_CMDBUFRUN     0x10u
#define S_W1C           0x68e67u

#define E_ILLEGAL_DTE   0x1u
#define E_PAGE_FAULT    0x2u
#define E_DEVTAB_HW     0x3u
#define E_PAGETAB_HW    0x4u
#define E_ILLEGAL_CMD   0x5u
#define E_CMD_HW        0x6u
#define E_IOTLB_TIMEOUT 0x7u
#define E_INVALID_REQ   0x8u

/* event bits 59:48 */
#define F_GN                0x001u
#define F_US                0x004u
#define F_PR                0x010u
#define F_RW                0x020u
#define F_PE                0x040u
#define F_RZ                0x080u
#define F_TR                0x100u
#define F_TYPE_TARGET_ABORT 0x400u

static inline uint32_t amd_control(const struct hwm *h)
{
    return h->mmio[A_CONTROL / 4];
}

/* The GCR3 root in a DTE is guest-physical (hwspec 6.3, 6.4). */
static inline bool amd_gcr3_trp(const struct hwm *h)
{
    return (h->mmio[A_CONTROL / 4 + 1] & C_HI_GCR3TRP) != 0;
}

static inline unsigned amd_segments_lg2(const struct hwm *h)
{
    return h->mmio[A_CONTROL / 4 + 1] >> 2 & 7;
}

/* ---- hwm_amd_nest.c: v2 tables of a guest before a v1 table --------------------------------- */

/* What v1 and v2 tables gave together has tags of its own. */
#define NEST_BIT               (UINT64_C(1) << 41)
#define NEST_TAG(did, pasid)   (HWM_TAG(did, pasid, 1) | NEST_BIT)

struct hwm_nest {
    struct hwm_hit hit;
    bool host;    /* the v1 table stopped it, at .. */
    uint64_t gpa; /* .. this address */
};

/* One guest-physical address through the v1 table. False: n tells why not. */
bool hwm_amd_gpa(struct hwm *h, const struct hwm_space *host, uint64_t gpa, bool write,
                 unsigned flags, struct hwm_nest *n);
/* guest->root is where the v2 root lies in host memory; root_w: the v1 table lets it be written. */
void hwm_amd_nested(struct hwm *h, const struct hwm_space *guest, const struct hwm_space *host,
                    bool root_w, uint64_t iova, bool write, unsigned flags, struct hwm_nest *n);
/* All nested translations, tables and GCR3 entries of a DomainID. */
void hwm_amd_nest_drop(struct hwm *h, uint16_t did);

#endif
