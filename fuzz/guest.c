/* SPDX-License-Identifier: MIT */
/* See guest.h. */
#include "guest.h"
#include "flat.h"
#include "hwm.h"
#include "machine.h"
#include <pviommu/abi/xen_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_PA 0x200000000ull /* gfn 0 ..: contiguous and writable */
#define RAM_NR 0x100000ull
#define RO_GFN 0x200000ull /* read-only, contiguous */
#define RO_PA 0x400000000ull
#define RO_NR 0x1000ull
#define ID_NR 0x300ull

static struct fuzz_machine *m;

static bool preempt_now(void *opaque, uint64_t nr)
{
    const struct fuzz_guest *g = opaque;

    return nr < 1000000 && (g->preempt >> (nr & 31) & 1) != 0;
}

/* The unit of this input: no domain uses it yet. */
static void start_unit(uint8_t knobs)
{
    struct pvi_unit_caps *caps = &m->unit.unit.caps;

    fuzz_caps(caps, (knobs & 1) != 0 ? &pvi_amdvi_v1_ops : &pvi_vtd_ss_ops);
    caps->page_sizes = (knobs & 2) != 0 ? UINT64_MAX : 1u << 12;
    caps->levels_mask = 8u;
    caps->coherent = (knobs & 8) != 0;
    caps->np_cache = (knobs & 16) != 0;
    caps->snoop = (knobs & 32) != 0;
    caps->page_selective = true;
    if ((knobs & 4) != 0) {
        caps->guest_levels = 0x30;
        caps->guest_depth = (knobs & 1) != 0 ? 3 : 0;
        caps->guest_flags = PVI_GUEST_SUPERVISOR;
        caps->pasid_bits = 10;
    }
}

static void start_guest(struct fuzz_guest *g)
{
    struct pvi_posix_range ram = {.nr = RAM_NR, .pa = RAM_PA, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_posix_range ro = {.gfn = RO_GFN, .nr = RO_NR, .pa = RO_PA, .kind = PVI_POSIX_RAM_HVM, .prot = PVI_READ};

    g->owner = pvi_posix_hdom_new(m->host, 1);
    CHECK(g->owner != NULL && pvi_posix_hdom_range(g->owner, &ram) == 0 && pvi_posix_hdom_range(g->owner, &ro) == 0 &&
          pvi_posix_hdom_identity(g->owner, 0, ID_NR, PVI_RW) == 0);
    pvi_posix_hdom_mem(g->owner, g->mem, FUZZ_MEM, sizeof(g->mem));
    pvi_posix_hdom_bind(g->owner, &g->dom);
}

void fuzz_guest_start(struct fuzz_guest *g, const uint8_t *data, size_t size, bool init)
{
    struct pvi_domain_cfg cfg = {.max_contexts = FUZZ_CONTEXTS, .max_pages = 600};
    uint8_t knobs, pages;

    memset(g, 0, sizeof(*g));
    g->in.at = data;
    g->in.left = size;
    knobs = fuzz_u8(&g->in);
    pages = fuzz_u8(&g->in);
    g->preempt = (uint32_t)fuzz_le(&g->in, 2) * 0x10001u;
    m = fuzz_machine();
    cfg.system = &m->system;
    start_unit(knobs);
    g->host = m->host;
    (void)pvi_posix_postponed(m->host, true);
    start_guest(g);
    cfg.hdom = g->owner;
    cfg.trim = (knobs & 64) != 0;
    cfg.nested = true;
    cfg.max_pasids = 4;
    pvi_posix_hdom_max_run(g->owner, (knobs & 128) != 0 ? 5 : 0);
    CHECK(pvi_domain_init(&g->dom, m->host, &cfg) == 0);
    for (unsigned i = 0; i < 2; i++) {
        g->dev[i] = (struct pvi_device){.sbdf = {0x10 + i * 8}, .unit = &m->unit.unit, .nr_rids = 1};
        g->dev[i].rid[0] = (uint16_t)(0x10 + i * 8);
        CHECK(pvi_device_add(&g->dom, &g->dev[i]) == 0);
    }
    g->call.caller = &g->dom;
    if (init) {
        g->call.op[0] = (struct pvi_op){.code = PVI_OP_INIT, .domid = PVI_DOMID_SELF,
                                        .u.init = {.nr_contexts = FUZZ_CONTEXTS, .nr_pages = 1u + pages / 4u}};
        g->call.batch.ops = g->call.op;
        g->call.batch.nr = 1;
        CHECK(pvi_submit(&g->dom, &g->call.batch) == 0 && g->call.op[0].status == 0);
        g->inited = true;
    }
    pvi_posix_preempt_call(m->host, preempt_now, g);
}

void fuzz_guest_end(struct fuzz_guest *g)
{
    const char *why;

    pvi_posix_preempt_call(m->host, NULL, NULL);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(pvi_device_remove(&g->dom, &g->dev[i]) == 0);
    }
    pvi_domain_kill(&g->dom);
    CHECK(pvi_domain_destroy(&g->dom) == 0);
    CHECK(pvi_posix_postponed(m->host, false) == 0);
    pvi_posix_checkpoint(m->host);
    CHECK(pvi_posix_hdom_balanced(g->owner));
    CHECK(pvi_posix_balanced(m->host, &why));
    pvi_posix_hdom_free(g->owner);
    for (unsigned i = 0; i <= FUZZ_CONTEXTS; i++) {
        if (g->model[i]) {
            flat_free(g->model[i]);
        }
    }
}

/* --- the judge ------------------------------------------------------------------------------------- */

static uint64_t frame_of(uint64_t gfn, unsigned *prot)
{
    *prot = gfn < RAM_NR ? PVI_RW : PVI_READ;
    return gfn < RAM_NR ? RAM_PA + (gfn << 12) : gfn - RO_GFN < RO_NR ? RO_PA + ((gfn - RO_GFN) << 12) : 0;
}

static struct flat *model_of(struct fuzz_guest *g, uint16_t ctx)
{
    return ctx != 0 && ctx <= FUZZ_CONTEXTS ? g->model[ctx] : NULL;
}

static void judge_map(struct fuzz_guest *g, const struct fuzz_call *c)
{
    struct flat *model = model_of(g, c->ctx);
    uint64_t done = c->done * c->frames, i;
    bool taken = false, none = false, forbidden = false;
    unsigned prot;

    CHECK(c->rc != 0 || (model && !g->nested[c->ctx]));
    CHECK(c->done <= c->nr && (c->rc != 0 || c->done == c->nr));
    for (i = 0; i < done; i++) {
        uint64_t pa = frame_of(c->gfn + i, &prot);

        CHECK(pa != 0 && (c->prot & ~prot) == 0 && flat_map(model, c->dfn + i, 1, pa, c->prot, 0));
    }
    for (; i < done + c->frames && c->rc != 0 && model; i++) {
        taken |= flat_lookup(model, c->dfn + i, NULL, NULL);
        none |= frame_of(c->gfn + i, &prot) == 0;
        forbidden |= (c->prot & ~prot) != 0;
    }
    CHECK(c->rc != -PVI_XEN_EADDRINUSE || taken);
    CHECK(c->rc != -PVI_XEN_ENOENT || none);
    CHECK(c->rc != -PVI_XEN_EPERM || forbidden);
    CHECK(c->done == 0 || c->rc == 0 || taken || none || forbidden || c->rc == -PVI_XEN_ENOMEM);
}

static void judge_unmap(struct fuzz_guest *g, const struct fuzz_call *c)
{
    struct flat *model = model_of(g, c->ctx);
    uint64_t done = c->done * c->frames, i;
    bool hole = false;

    CHECK(c->rc != 0 || (model && !g->nested[c->ctx]));
    CHECK(c->done <= c->nr && (c->rc != 0 || c->done == c->nr));
    CHECK(done == 0 || (model && flat_unmap(model, c->dfn, done) == done));
    for (i = done; i < done + c->frames && c->rc == -PVI_XEN_ENOENT; i++) {
        hole |= !flat_lookup(model, c->dfn + i, NULL, NULL);
    }
    CHECK(c->rc != -PVI_XEN_ENOENT || hole);
    CHECK(c->rc == 0 || c->done == 0 || c->rc == -PVI_XEN_ENOENT || c->rc == -PVI_XEN_ENOMEM);
}

void fuzz_guest_judge(struct fuzz_guest *g, const struct fuzz_call *c)
{
    struct flat *model = model_of(g, c->ctx);
    unsigned prot;
    uint64_t pa;

    CHECK(c->rc <= 0 && c->rc != -PVI_XEN_EIO && c->rc != -PVI_XEN_ESRCH && c->rc != -PVI_XEN_ERESTART && c->rc > -126);
    switch (c->what) {
    case FUZZ_MAP:
        judge_map(g, c);
        break;
    case FUZZ_UNMAP:
        judge_unmap(g, c);
        break;
    case FUZZ_ALLOC:
        CHECK(c->rc != 0 || (g->inited && c->made >= 1 && c->made <= FUZZ_CONTEXTS && !g->model[c->made]));
        if (c->rc == 0) {
            g->model[c->made] = flat_new();
            g->nested[c->made] = c->nested;
            CHECK(!c->identity || flat_map(g->model[c->made], 0, ID_NR, RAM_PA, PVI_RW, 0));
        }
        break;
    case FUZZ_FREE:
        CHECK(c->rc != 0 || model);
        if (c->rc == 0) {
            flat_free(model);
            g->model[c->ctx] = NULL;
        }
        break;
    case FUZZ_LOOKUP:
        CHECK(c->rc != 0 || (model && flat_lookup(model, c->dfn, NULL, &pa) && frame_of(c->found, &prot) == pa));
        CHECK(c->rc != -PVI_XEN_ENOENT || (model && !flat_lookup(model, c->dfn, NULL, NULL)));
        break;
    case FUZZ_INIT:
        CHECK(c->rc != 0 || !g->inited);
        g->inited |= c->rc == 0;
        break;
    default:
        break;
    }
}

void fuzz_guest_tables(struct fuzz_guest *g)
{
    struct pvi_posix_view view = {.host = m->host, .coherent = m->unit.unit.caps.coherent};
    struct hwm_mem mem = {.opaque = &view, .read64 = pvi_posix_hw_read64, .read32 = pvi_posix_hw_read32,
                          .write64 = pvi_posix_hw_write64, .write32 = pvi_posix_hw_write32, .valid = pvi_posix_hw_valid};
    struct hwm_fmt fmt;
    char text[256];

    hwm_fmt_default(&fmt, m->unit.unit.caps.format == &pvi_vtd_ss_ops ? HWM_FMT_VTDSS : HWM_FMT_AMDV1);
    for (unsigned i = 1; i <= FUZZ_CONTEXTS; i++) {
        const struct pvi_context *ctx = g->dom.slot ? g->dom.slot[i - 1] : NULL;

        if (g->model[i] &&
            !flat_check_tables(g->model[i], &mem, &fmt, ctx->pt.root->pa.a, ctx->pt.cfg.levels, text, sizeof(text))) {
            fprintf(stderr, "context %u: %s\n", i, text);
            abort();
        }
    }
}

/* --- values ---------------------------------------------------------------------------------------- */

static uint64_t frame(struct fuzz_guest *g, const uint64_t base[4])
{
    uint8_t how = fuzz_u8(&g->in);

    if (how == 0xff) {
        return fuzz_le(&g->in, 8);
    }
    return base[how & 3] + ((how & 0x40) != 0 ? fuzz_le(&g->in, 1) << 9 : fuzz_le(&g->in, 2) & 0xfff);
}

uint64_t fuzz_dfn(struct fuzz_guest *g)
{
    static const uint64_t base[] = {0, 0x40000, 0xfed80, 0xffffff000};

    return frame(g, base);
}

uint64_t fuzz_gfn(struct fuzz_guest *g)
{
    static const uint64_t base[] = {0, 0x40000, RO_GFN, RAM_NR - 0x400};

    return frame(g, base);
}

uint32_t fuzz_count(struct fuzz_guest *g)
{
    static const uint32_t some[] = {1, 2, 3, 8, 256, 257, 511, 512, 513, 1024, 0, 0x1200};
    uint8_t how = fuzz_u8(&g->in);

    return how == 0xff ? (uint32_t)fuzz_le(&g->in, 4) : (how & 0x80) != 0 ? 1u + (how & 0x7f) : some[how % 12];
}
