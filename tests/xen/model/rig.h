/* SPDX-License-Identifier: MIT */
/* What the tests share: a process of its own for each on each machine, and hypercall 43, laid out by numbers. */
#ifndef RIG_H
#define RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "xm.h"

#define R 1u
#define W 2u
#define RW 3u
#define BLOCKED (~(uint64_t)0)

#define EXPECT(condition)                                                   \
    do {                                                                    \
        if (!(condition)) {                                                 \
            xm_fail("%s:%d: %s", __FILE__, __LINE__, #condition);           \
        }                                                                   \
    } while (0)
#define EXPECT_EQ(a, b)                                                                         \
    do {                                                                                        \
        long long a_ = (long long)(a), b_ = (long long)(b);                                     \
        if (a_ != b_) {                                                                         \
            xm_fail("%s:%d: %s: %lld (%#llx), not %lld", __FILE__, __LINE__, #a, a_, a_, b_);   \
        }                                                                                       \
    } while (0)

/* Machines that a test runs on. */
#define ON_VTD 1u
#define ON_AMD 2u
#define ON_PV 4u
#define ON_PVH 8u
#define ON_ALL 15u

struct rig_test {
    const char *name;
    void (*run)(void);
    unsigned on;        /* vendors and kinds: each pair of them; 0: ON_ALL */
    struct xm_cfg cfg;  /* the rest of it */
    const char *broken; /* the model has to find this fault; NULL: none */
    bool bare;          /* ends without xm_shutdown() */
};
int rig_main(int argc, char **argv, const struct rig_test *tests, unsigned nr);
/* In a process of its own, as this one is now. */
void in_child(void (*run)(unsigned n), unsigned n);
extern struct xm_cfg rig_cfg; /* of the machine that this is */

/* Subop with its structure, continued until it is done; the structure is written back. */
long hv(unsigned subop, void *arg, unsigned len);
/* The same through remote_cmd for a domain. domid ~0: directly. */
long hv_for(uint32_t domid, unsigned subop, void *arg, unsigned len);
/* From now on the functions below act for this domain; ~0: for the caller. */
void hv_act_for(uint32_t domid);
unsigned hv_continued(void); /* how often the last one was continued */

long hv_init(uint32_t max_ctx_no, uint32_t arena_order);
long hv_alloc(uint32_t flags, uint16_t *ctx);
long hv_free(uint16_t ctx, uint32_t flags);
long hv_attach(uint16_t ctx, unsigned dev);
long hv_attach_sbdf(uint16_t ctx, uint32_t sbdf);
long hv_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint32_t nr, uint32_t flags, uint32_t *done);
long hv_unmap(uint16_t ctx, uint64_t dfn, uint32_t nr, uint32_t *done);
long hv_lookup(uint16_t ctx, uint64_t dfn, uint64_t *gfn);
long hv_query(uint16_t *max_ctx_no, uint32_t *flags);

/* init, and a context that the device is in; the page at dfn is the n-th frame's. */
uint16_t with_context(unsigned dev);
void map_one(uint16_t ctx, uint64_t dfn, unsigned n, uint32_t flags);
void unmap_one(uint16_t ctx, uint64_t dfn);
/* The n-th frame, through every id of the device. */
void expect_dma(unsigned dev, uint64_t dfn, bool write, uint64_t mfn);

#endif
