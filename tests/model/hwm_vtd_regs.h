/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: VT-d register offsets and bits (hwspec 1.1 to 1.10), and what its VT-d files
 * share.
 */
#ifndef HWM_VTD_REGS_H
#define HWM_VTD_REGS_H

#include "hwm_int.h"

#define R_VER      0x00u
#define R_CAP      0x08u
#define R_ECAP     0x10u
#define R_GCMD     0x18u
#define R_GSTS     0x1cu
#define R_RTADDR   0x20u
#define R_CCMD     0x28u
#define R_FSTS     0x34u
#define R_FECTL    0x38u
#define R_FEDATA   0x3cu
#define R_FEADDR   0x40u
#define R_FEUADDR  0x44u
#define R_AFLOG    0x58u
#define R_PMEN     0x64u
#define R_PLMBASE  0x68u
#define R_PLMLIMIT 0x6cu
#define R_PHMBASE  0x70u
#define R_PHMLIMIT 0x78u
#define R_IQH      0x80u
#define R_IQT      0x88u
#define R_IQA      0x90u
#define R_ICS      0x9cu
#define R_IECTL    0xa0u
#define R_IEDATA   0xa4u
#define R_IEADDR   0xa8u
#define R_IEUADDR  0xacu
#define R_IQERCD   0xb0u
#define R_IRTA     0xb8u

#define G_TE      0x80000000u
#define G_SRTP    0x40000000u
#define G_SFL     0x20000000u
#define G_EAFL    0x10000000u
#define G_WBF     0x08000000u
#define G_QIE     0x04000000u
#define G_IRE     0x02000000u
#define G_SIRTP   0x01000000u
#define G_CFI     0x00800000u
#define G_LEVEL   (G_TE | G_EAFL | G_QIE | G_IRE | G_CFI)
#define G_ONESHOT (G_SRTP | G_SFL | G_WBF | G_SIRTP)

#define FSTS_PFO 0x01u
#define FSTS_PPF 0x02u
#define FSTS_IQE 0x10u
#define FSTS_ICE 0x20u
#define FSTS_ITE 0x40u
#define FSTS_W1C (FSTS_PFO | 0x0cu | FSTS_IQE | FSTS_ICE | FSTS_ITE)

#define GO_BIT 0x80000000u /* CCMD.ICC, IOTLB.IVT, FRCD.F, xxCTL.IM in their upper or only half */
#define CTL_IM 0x80000000u
#define CTL_IP 0x40000000u

#define TTM_LEGACY   0u
#define TTM_SCALABLE 1u
#define TTM_ABORT    3u

static inline unsigned vtd_ttm(uint64_t rtaddr)
{
    return (unsigned)(rtaddr >> 10 & 3);
}

static inline bool vtd_scalable(const struct hwm *h)
{
    return h->vtd.cfg.smts && vtd_ttm(h->vtd.root) == TTM_SCALABLE;
}

/* hwm_vtd.c */
void hwm_vtd_event(struct hwm *h, unsigned ctl_reg, enum hwm_msi which);
/* hwm_vtd_queue.c */
void hwm_vtd_queue_on(struct hwm *h);
void hwm_vtd_queue_off(struct hwm *h);

/* hwm_vtd_walk.c, hwm_vtd_sm.c: what the structures above the page tables say */
struct vtd_where {
    struct hwm_space sp;
    unsigned reason; /* fault reason, 0 = none */
    bool fpd;        /* fault processing disable was read and set */
    bool translated; /* a translated request that may pass */
    bool first_stage;
    bool nosnoop_ad; /* A/D updates are not possible: of the first stage, where there is one */
    bool nested;     /* sp.root, and all that is found below, are addresses of host */
    struct hwm_space host;
    bool host_nosnoop_ad;
    uint64_t entry;
    const char *why;
};
void hwm_vtd_fail(struct vtd_where *w, unsigned reason, uint64_t entry, const char *why);
void hwm_vtd_sm_where(struct hwm *h, const struct hwm_req *req, unsigned flags,
                      struct vtd_where *w);

/* hwm_vtd_nest.c: fault reason, 0 when there is a page, which may still forbid the access */
unsigned hwm_vtd_nested(struct hwm *h, const struct vtd_where *w, uint64_t iova, bool write,
                        unsigned flags, struct hwm_hit *hit);
/* tag: of the first stage of a domain id and PASID */
void hwm_vtd_nest_drop_domain(struct hwm *h, uint16_t did);
void hwm_vtd_nest_drop_pasid(struct hwm *h, uint64_t tag);
void hwm_vtd_nest_drop_pages(struct hwm *h, uint64_t tag, uint64_t iova, unsigned lg2,
                             bool leaf_only);

#endif
