/* SPDX-License-Identifier: MIT */
/* Checks of the fixture: tables, counts, device entries, what devices reach. */
#include <string.h>

#include "fixture.h"

static struct fx_unit *unit_of(struct fx *f, const struct pvi_unit *u)
{
    for (unsigned i = 0; i < f->nr_units; i++) {
        if (f->unit[i].unit == u) {
            return &f->unit[i];
        }
    }
    check_fail("a unit of the machine", __FILE__, __LINE__);
}

/* --- tables --------------------------------------------------------------------------------------- */

uint64_t fx_root(struct fx *f, unsigned ctx)
{
    return ctx == 0 ? f->dom.default_ctx.pt.root->pa.a : f->dom.slot[ctx - 1]->pt.root->pa.a;
}

bool fx_visit(struct fx *f, uint64_t root, const struct hwm_visitor *v, struct hwm_visit *out)
{
    const struct pvi_pt_ops *format = f->unit[0].unit->caps.format;
    struct hwm_mem mem = {
        .opaque = &f->unit[0].view,
        .read64 = pvi_posix_hw_read64,
        .read32 = pvi_posix_hw_read32,
        .valid = pvi_posix_hw_valid,
    };

    if (f->cfg.visit) {
        return f->cfg.visit(&mem, root, f->cfg.levels, v, out);
    }
    return format == &pvi_vtd_ss_ops ? hwm_visit_vtdss(&mem, root, f->cfg.levels, v, out)
                                     : hwm_visit_amdv1(&mem, root, f->cfg.levels, v, out);
}

struct seen {
    struct fx *f;
    unsigned ctx;
    struct flat *map;
};

static void take_leaf(void *opaque, const struct hwm_leaf *leaf)
{
    struct seen *s = opaque;

    CHECK(orc_window_leaf(&s->f->orc, s->ctx, leaf->iova >> 12, (unsigned)leaf->lg2));
    CHECK(flat_map(s->map, leaf->iova >> 12, 1ull << (leaf->lg2 - 12), leaf->pa,
                   (leaf->r ? FLAT_R : 0u) | (leaf->w ? FLAT_W : 0u), 0));
}

static void check_table(struct fx *f, unsigned ctx)
{
    struct flat *seen = flat_new();
    struct seen s = {f, ctx, seen};
    struct hwm_visitor v = {.ctx = &s, .leaf = take_leaf};
    struct pvi_context_usage usage;
    struct hwm_visit out;
    uint64_t differs = 0;

    if (!fx_visit(f, fx_root(f, ctx), &v, &out)) {
        check_step("context %u, iova 0x%llx: %s", ctx, (unsigned long long)out.first_bad.iova,
                   out.first_bad.why ? out.first_bad.why : "bad");
        CHECK(!"the walker accepts the table");
    }
    CHECK_EQ(out.stray, 0);
    if (!flat_equal(f->orc.ctx[ctx].map, seen, FLAT_ANY_TAG, &differs)) {
        check_step("context %u, page 0x%llx", ctx, (unsigned long long)differs);
        CHECK(!"the table translates as the oracle says");
    }
    flat_free(seen);
    CHECK_EQ(pvi_context_usage(&f->dom, (uint16_t)ctx, &usage), 0);
    if (!f->orc.ctx[ctx].broken) {
        CHECK_EQ(usage.pages_used, out.tables); /* nothing untracked (R12) */
        CHECK_EQ(usage.state, PVI_CTX_LIVE);
        CHECK_EQ(usage.mapped, flat_pages(f->orc.ctx[ctx].map));
    }
}

/* --- frames --------------------------------------------------------------------------------------- */

/* How often the contexts map the frame so that it owes this. */
static uint64_t mapped_times(struct fx *f, uint64_t pa, uint32_t owe)
{
    uint64_t times = 0;

    for (unsigned c = 0; c < ORC_CONTEXTS; c++) {
        struct flat_run run;

        for (uint64_t pfn = 0; f->orc.ctx[c].live && flat_next(f->orc.ctx[c].map, pfn, &run); pfn = run.last + 1) {
            times += run.tag == owe && pa >= run.pa && (pa - run.pa) >> 12 <= run.last - run.first;
        }
    }
    return times;
}

/* References of the first runs of a context. */
static void check_frames(struct fx *f, unsigned ctx)
{
    struct flat_run run;
    uint64_t pfn = 0;

    for (unsigned i = 0; i < 3 && flat_next(f->orc.ctx[ctx].map, pfn, &run); i++) {
        if (run.tag != PVI_OWE_NONE) {
            CHECK_EQ(pvi_posix_frame_count(f->hdom, run.pa, run.tag), mapped_times(f, run.pa, run.tag));
        }
        pfn = run.last + 1;
    }
}

/* --- devices -------------------------------------------------------------------------------------- */

const struct pvi_dev_entry *fx_pasid_entry(struct fx *f, unsigned unit, uint16_t rid, uint32_t pasid)
{
    const struct pvi_posix_null *n = &f->unit[unit].null;

    for (size_t i = 0; i < n->nr_pasids; i++) {
        if (n->pasid[i].rid == rid && n->pasid[i].entry.pasid == pasid && n->pasid[i].entry.translate) {
            return &n->pasid[i].entry;
        }
    }
    return NULL;
}

/* The parent's root below what the guest has, or the context's own root, under an id that is the context's. */
static void check_entry(struct fx *f, const struct fx_unit *u, const struct pvi_dev_entry *e, unsigned ctx)
{
    const struct orc_ctx *c = &f->orc.ctx[ctx];
    const struct pvi_context *lib = ctx == 0 ? &f->dom.default_ctx : f->dom.slot[ctx - 1];

    CHECK(e && e->translate);
    CHECK_EQ(e->root.a, fx_root(f, c->nested ? c->parent : ctx));
    CHECK_EQ(e->levels, f->cfg.levels);
    CHECK(e->did != 0 && u->null.did_used[e->did]);
    CHECK_EQ(e->did, lib->did[u->unit->index]);
    CHECK_EQ(e->guest.levels, c->nested ? c->guest.levels : 0);
    if (c->nested) {
        CHECK_EQ(e->guest.root, c->guest.root);
        CHECK_EQ(e->guest.depth, c->guest.depth);
        CHECK_EQ(e->guest.flags, c->guest.flags);
    }
}

/* Every PASID's entry is there for each requester id of its device, and there are no others. */
static void check_pasids(struct fx *f)
{
    unsigned want[FX_UNITS] = {0};

    for (unsigned i = 0; i < f->orc.nr_pasids; i++) {
        const struct orc_pasid *p = &f->orc.pasid[i];
        unsigned unit = p->dev->unit->index;

        for (unsigned k = 0; k < p->dev->nr_rids; k++, want[unit]++) {
            const struct pvi_dev_entry *e = fx_pasid_entry(f, unit, p->dev->rid[k], p->pasid);

            check_entry(f, &f->unit[unit], e, p->ctx);
        }
    }
    for (unsigned u = 0; u < f->nr_units; u++) {
        const struct pvi_posix_null *n = &f->unit[u].null;
        unsigned there = 0;

        for (size_t i = 0; i < n->nr_pasids; i++) {
            there += n->pasid[i].entry.translate;
        }
        CHECK_EQ(there, want[u]);
    }
    CHECK_EQ(f->dom.nr_pasids, f->orc.nr_pasids);
}

static void check_entries(struct fx *f, const struct pvi_device *dev, const struct orc_dev *od)
{
    struct fx_unit *u = unit_of(f, dev->unit);

    for (unsigned k = 0; k < dev->nr_rids; k++) {
        const struct pvi_dev_entry *e = &u->null.entry[dev->rid[k]];

        CHECK_EQ(e->translate, od != NULL);
        if (od) {
            check_entry(f, u, e, od->ctx);
        }
    }
}

static void check_devices(struct fx *f)
{
    uint32_t per_ctx[ORC_CONTEXTS] = {0};

    for (unsigned i = 0; i < f->nr_devs; i++) {
        const struct orc_dev *od = orc_dev(&f->orc, f->dev[i].sbdf.v);

        if (od && od->dev == &f->dev[i]) {
            CHECK(f->dev[i].ctx);
            CHECK_EQ(f->dev[i].ctx->id, od->ctx);
            per_ctx[od->ctx]++;
        }
        if (f->cfg.kind == FX_NULL && f->dev[i].unit && (!od || od->dev == &f->dev[i])) {
            check_entries(f, &f->dev[i], od);
        }
    }
    for (unsigned c = 0; c < ORC_CONTEXTS && f->orc.inited; c++) {
        struct pvi_context_usage usage;
        int rc = pvi_context_usage(&f->dom, (uint16_t)c, &usage);

        CHECK_EQ(rc, f->orc.ctx[c].live ? 0 : -PVI_ENOCTX);
        CHECK(rc != 0 || usage.devices == per_ctx[c]);
    }
}

void fx_check(struct fx *f)
{
    uint32_t used = 0;

    check_devices(f);
    if (f->cfg.kind == FX_NULL) {
        check_pasids(f);
    }
    for (unsigned c = 0; c < ORC_CONTEXTS; c++) {
        struct pvi_context_usage usage;

        if (f->orc.ctx[c].live) {
            check_table(f, c);
            check_frames(f, c);
            CHECK_EQ(pvi_context_usage(&f->dom, (uint16_t)c, &usage), 0);
            used += c != 0 ? usage.pages_used : 0;
        }
    }
    if (f->orc.inited) {
        CHECK_EQ(f->dom.pool.nr_pages - f->dom.pool.nr_free - f->dom.pool.nr_lost, used + f->held);
    }
}

void fx_check_loose(struct fx *f)
{
    for (unsigned c = 0; c <= f->dom.nr_contexts; c++) {
        struct pvi_context_usage usage;
        struct hwm_visitor v = {.ctx = NULL};
        struct hwm_visit out;

        if (pvi_context_usage(&f->dom, (uint16_t)c, &usage) == 0 &&
            (usage.state == PVI_CTX_LIVE || usage.state == PVI_CTX_BUILDING)) {
            CHECK(fx_visit(f, fx_root(f, c), &v, &out));
            CHECK_EQ(out.stray, 0);
            CHECK_EQ(usage.pages_used, out.tables);
        }
    }
}

/* --- what devices reach --------------------------------------------------------------------------- */

static void dma(struct fx *f, struct fx_unit *u, uint16_t rid, const struct orc_dev *od, uint64_t pfn, bool write)
{
    uint64_t at, pa = 0, want = 0, iova = pfn << 12 | 0x234;
    struct flat_run run;
    bool allowed = false;
    enum hwm_result r;

    if (orc_hole(&f->orc, pfn, 1, &at)) {
        return;
    }
    if (od && f->orc.ctx[od->ctx].nested) {
        /* The guest's tables are the test's: what units have cached must be what the tables say now. */
        allowed = hwm_walk(u->model, rid, iova, write, &want, NULL) == HWM_OK;
        want &= ~0xfffull;
    } else if (od && flat_lookup(f->orc.ctx[od->ctx].map, pfn, &run, &want)) {
        allowed = (run.perm & (write ? PVI_WRITE : PVI_READ)) != 0;
    }
    r = hwm_dma(u->model, rid, iova, write, &pa, NULL);
    if (r != (allowed ? HWM_OK : HWM_FAULT) || (allowed && pa != (want | 0x234))) {
        check_step("requester %x, iova 0x%llx, %s: result %d at 0x%llx, wanted %s 0x%llx", rid,
                   (unsigned long long)iova, write ? "write" : "read", (int)r, (unsigned long long)pa,
                   allowed ? "translation to" : "fault", (unsigned long long)want);
        CHECK(!"the device reaches what the oracle says");
    }
}

void fx_dma(struct fx *f)
{
    if (f->cfg.kind == FX_NULL) {
        return;
    }
    for (unsigned i = 0; i < f->nr_devs; i++) {
        const struct pvi_device *dev = &f->dev[i];
        const struct orc_dev *od = orc_dev(&f->orc, dev->sbdf.v);

        for (unsigned k = 0; k < dev->nr_rids && (!od || od->dev == dev); k++) {
            for (unsigned p = 0; p < FX_RECENT; p++) {
                dma(f, unit_of(f, dev->unit), dev->rid[k], od, f->recent[p], false);
                dma(f, unit_of(f, dev->unit), dev->rid[k], od, f->recent[p], true);
            }
        }
    }
    (void)fx_faults(f);
}

unsigned fx_faults(struct fx *f)
{
    unsigned nr = 0;

    for (unsigned i = 0; i < f->nr_units; i++) {
        struct pvi_fault fault;
        int rc = f->cfg.kind == FX_NULL ? 0 : 1;

        while (rc == 1) {
            rc = f->cfg.kind == FX_VTD ? pvi_vtd_unit_next_fault(&f->unit[i].vtd, &fault)
                                       : pvi_amdvi_unit_next_fault(&f->unit[i].amd, &fault);
            nr += rc == 1;
        }
        CHECK_EQ(rc, 0);
    }
    return nr;
}

/* --- what units were told ------------------------------------------------------------------------- */

struct fx_told fx_told(struct fx *f, unsigned unit)
{
    const struct fx_unit *u = &f->unit[unit];
    struct fx_told t;

    memset(&t, 0, sizeof(t));
    if (f->cfg.kind == FX_NULL) {
        t.pages = u->null.nr_inv[PVI_INV_PAGES];
        t.domain = u->null.nr_inv[PVI_INV_DOMAIN];
        t.device = u->null.nr_inv[PVI_INV_DEVICE];
        t.wbuf = u->null.nr_inv[PVI_INV_WBUF];
        t.all = u->null.nr_inv[PVI_INV_ALL];
        t.guest = u->null.nr_inv[PVI_INV_GUEST];
        t.pasid = u->null.nr_inv[PVI_INV_PASID];
        t.wait = u->null.nr_wait;
    } else {
        t.pages = hwm_log_count(u->model, HWM_TLB_PAGE);
        t.domain = hwm_log_count(u->model, HWM_TLB_DOMAIN);
        t.device = hwm_log_count(u->model, HWM_CTX_DEVICE);
        t.wbuf = hwm_log_count(u->model, HWM_WBF);
        t.all = hwm_log_count(u->model, HWM_ALL) + hwm_log_count(u->model, HWM_TLB_GLOBAL);
        t.wait = hwm_log_count(u->model, HWM_WAIT);
    }
    return t;
}

void fx_told_reset(struct fx *f)
{
    for (unsigned i = 0; i < f->nr_units; i++) {
        struct fx_unit *u = &f->unit[i];

        memset(u->null.nr_inv, 0, sizeof(u->null.nr_inv));
        u->null.nr_wait = 0;
        u->null.nr_switch = 0;
        if (u->model) {
            hwm_log_reset(u->model);
        }
    }
}
