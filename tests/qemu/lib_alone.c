/* SPDX-License-Identifier: MIT */
/* See lib_alone.h. */
#include "lib_alone.h"

#include <string.h>

/* A range that takes more commands than this goes with its domain. */
#define MAX_BLOCKS 64u

static void tell(struct lib_alone *a, const struct pvi_inv *inv)
{
    lib_check_status(a->l, pvi_host_inv_submit(a->l->host, a->l->unit, inv, 1), 0, "invalidation");
}

static void tell_domain(struct lib_alone *a)
{
    struct pvi_inv inv = {.kind = PVI_INV_DOMAIN, .did = a->did};

    tell(a, &inv);
}

static void wait(struct lib_alone *a)
{
    lib_check_status(a->l, pvi_host_inv_wait(a->l->host, a->l->unit), 0, "wait");
}

/* Moves all devices; `to` blocks them or leads to the table. */
static void switch_devices(struct lib_alone *a, const struct pvi_dev_entry *to)
{
    struct pvi_inv inv = {.kind = PVI_INV_DEVICE, .did = a->did};
    bool was_absent;
    unsigned i;

    for (i = 0; i < a->l->nr_devs; i++) {
        int rc = pvi_host_dev_switch(a->l->host, a->l->unit, a->l->dev[i].rid, to, &was_absent);

        lib_check_status(a->l, rc, 0, "device entry");
        inv.rid = a->l->dev[i].rid;
        inv.was_absent = was_absent;
        tell(a, &inv);
    }
    wait(a);
    tell_domain(a);
    wait(a);
}

void lib_alone_open(struct lib_alone *a, struct lib *l, const struct lib_alone_cfg *cfg)
{
    const struct pvi_unit_caps *caps = &l->unit->caps;
    struct pvi_pt_cfg pc = {
        .ops = caps->format,
        .page_sizes = cfg->page_sizes ? cfg->page_sizes : caps->page_sizes,
        .levels = (uint8_t)cfg->levels,
        .iova_bits = (uint8_t)cfg->iova_bits,
        .pa_bits = caps->pa_bits,
        .coherent = caps->coherent,
        .trim = cfg->trim,
    };
    struct pvi_dev_entry to = {.translate = true, .levels = (uint8_t)cfg->levels};
    uint32_t done;
    unsigned i;

    memset(a, 0, sizeof(*a));
    a->l = l;
    if (pc.iova_bits == 0)
        pc.iova_bits = pc.ops->iova_bits(cfg->levels);
    pvi_pool_init(&a->pool, l->host);
    pvi_quota_limit(&a->pool, &a->quota, cfg->pages);
    lib_check_status(l, pvi_pool_grow(&a->pool, cfg->pages, &done), 0, "pool");
    if (!lib_check_status(l, pvi_pt_init(&a->pt, &pc, &a->pool, &a->quota), 0, "table") ||
        !lib_check_status(l, pvi_host_did_alloc(l->host, l->unit, &a->did), 0, "domain id"))
        qt_fatal(l->qt, "no table");
    a->sizes = a->pt.cfg.page_sizes;
    pvi_gather_init(&a->gather, l->host, NULL, pc.ops);
    to.root = a->pt.root->pa;
    to.did = a->did;
    switch_devices(a, &to);
    for (i = 0; i < LIB_NIC0; i++) {
        uint64_t iova = LIB_OWN_IOVA + (64 + i) * LIB_PAGE, pa = lib_gfn_pa(l, lib_bounce_gfn(i));

        lib_check_status(l, lib_alone_map(a, iova, pa, LIB_PAGE, PVI_RW, false), 0, "bounce page");
        qt_edu_set_bounce(&l->dev[i].edu, iova, pa);
    }
}

void lib_alone_close(struct lib_alone *a)
{
    struct pvi_dev_entry to = {.translate = false};
    unsigned bits = a->pt.cfg.iova_bits, i;

    /* Without trim tables go only with a removal that covers them whole. */
    lib_check_status(a->l, lib_alone_unmap(a, 0, bits < 64 ? UINT64_C(1) << bits : 0), 0, "unmap");
    lib_alone_flush(a);
    lib_check(a->l, lib_alone_pages(a) == 1, "%u pages are left in the table", lib_alone_pages(a));
    for (i = 0; i < LIB_NIC0; i++)
        qt_edu_no_bounce(&a->l->dev[i].edu);
    switch_devices(a, &to);
    pvi_host_did_free(a->l->host, a->l->unit, a->did);
    pvi_pt_fini(&a->pt);
    lib_check(a->l, pvi_pool_shrink(&a->pool, UINT32_MAX) == a->quota.limit,
              "pages of the pool are missing");
}

uint32_t lib_alone_pages(struct lib_alone *a)
{
    return pvi_quota_used(&a->pool, &a->quota);
}

/* Largest aligned block that begins at first and does not pass last. */
static unsigned block(uint64_t first, uint64_t last, unsigned max_lg2)
{
    unsigned lg2 = 12;

    while (lg2 < max_lg2 && (first & ((UINT64_C(2) << lg2) - 1)) == 0 &&
           last - first >= (UINT64_C(2) << lg2) - 1)
        lg2++;
    return lg2;
}

/* Blocks that a range takes on this unit. */
static unsigned blocks(const struct lib_alone *a, const struct pvi_gather_range *r)
{
    uint64_t at = r->first, end;
    unsigned nr = 0;

    do {
        end = at + ((UINT64_C(1) << block(at, r->last, a->l->unit->caps.inv_max_lg2)) - 1);
        at = end + 1;
    } while (++nr <= MAX_BLOCKS && end < r->last);
    return nr;
}

static void tell_range(struct lib_alone *a, const struct pvi_gather_range *r)
{
    struct pvi_inv inv = {.kind = PVI_INV_PAGES, .did = a->did, .leaf_only = !r->tables};
    uint64_t at = r->first, end;

    do {
        inv.iova = at;
        inv.lg2 = (uint8_t)block(at, r->last, a->l->unit->caps.inv_max_lg2);
        tell(a, &inv);
        end = at + ((UINT64_C(1) << inv.lg2) - 1);
        at = end + 1;
    } while (end < r->last);
}

void lib_alone_flush_gather(struct lib_alone *a, struct pvi_gather *g)
{
    bool domain = false;
    uint32_t i;

    for (i = 0; i < g->nr_ranges; i++)
        domain |= g->range[i].whole || blocks(a, &g->range[i]) > MAX_BLOCKS;
    for (i = 0; i < g->nr_ranges && !domain; i++)
        tell_range(a, &g->range[i]);
    if (domain)
        tell_domain(a);
    if (g->nr_ranges != 0)
        wait(a);
    lib_check_status(a->l, pvi_gather_flush(g), 0, "release");
}

void lib_alone_flush(struct lib_alone *a)
{
    lib_alone_flush_gather(a, &a->gather);
}

/* Does the request go on after this answer? */
static bool more(struct lib_alone *a, int rc)
{
    if (rc == -PVI_EBUSY)
        lib_alone_flush(a);
    return rc == 0 || rc == -PVI_EBUSY;
}

int lib_alone_map(struct lib_alone *a, uint64_t iova, uint64_t pa, uint64_t len, unsigned prot,
                  bool replace)
{
    struct pvi_pt_map r = {
        .iova = iova,
        .pa = pa,
        .len = len,
        .prot = (uint8_t)prot,
        .replace = replace,
    };
    int rc = 0;

    while (r.done < len && more(a, rc))
        rc = a->pt.cfg.ops->map(&a->pt, NULL, &r, &a->gather);
    return rc;
}

int lib_alone_unmap(struct lib_alone *a, uint64_t iova, uint64_t len)
{
    struct pvi_pt_unmap r = {.first = iova, .last = iova + len - 1, .next = iova, .holes = true};
    int rc = 0;

    while (!r.complete && more(a, rc))
        rc = a->pt.cfg.ops->unmap(&a->pt, NULL, &r, &a->gather);
    return rc;
}

static int change(struct lib_alone *a, struct pvi_pt_change *r,
                  int (*op)(struct pvi_pt *, struct pvi_context *, struct pvi_pt_change *,
                            struct pvi_gather *))
{
    int rc = 0;

    while (!r->complete && more(a, rc))
        rc = op(&a->pt, NULL, r, &a->gather);
    return rc;
}

int lib_alone_rights(struct lib_alone *a, uint64_t iova, uint64_t len, unsigned prot)
{
    struct pvi_pt_change r = {
        .first = iova,
        .last = iova + len - 1,
        .next = iova,
        .prot = (uint8_t)prot,
        .owe = PVI_PT_KEEP,
    };

    return change(a, &r, a->pt.cfg.ops->rights);
}

int lib_alone_split(struct lib_alone *a, uint64_t iova, uint64_t len, unsigned lg2)
{
    struct pvi_pt_change r = {
        .first = iova,
        .last = iova + len - 1,
        .next = iova,
        .lg2 = (uint8_t)lg2,
    };

    return change(a, &r, a->pt.cfg.ops->split);
}

int lib_alone_collapse(struct lib_alone *a, uint64_t iova, uint64_t len)
{
    struct pvi_pt_change r = {.first = iova, .last = iova + len - 1, .next = iova};

    return change(a, &r, a->pt.cfg.ops->collapse);
}
