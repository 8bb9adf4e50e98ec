/* SPDX-License-Identifier: MIT */
/* See record_rig.h. */
#include "record_rig.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct pvi_pt_ops vtd = {.name = "vtd-ss"}, amd = {.name = "amdvi-v1"};

/* Making tables ------------------------------------------------------------------------------- */

pvi_pa rr_new_page(struct rr *r)
{
    pvi_pa pa;

    assert_int_equal(pvi_host_page_alloc(r->h, &pa), 0);
    memset(pvi_posix_ptr(r->h, pa.a, PVI_PAGE_SIZE), 0, PVI_PAGE_SIZE);
    rr_write_back(r, rr_entry(r, pa, 0), PVI_PAGE_SIZE);
    return pa;
}

uint64_t *rr_entry(struct rr *r, pvi_pa table, unsigned slot)
{
    return (uint64_t *)pvi_posix_ptr(r->h, table.a, PVI_PAGE_SIZE) + slot;
}

uint64_t rr_link_to(const struct rr *r, pvi_pa child, unsigned level)
{
    return (r->flags & RR_AMD) != 0 ? child.a | 0x6000000000000001ull | (uint64_t)level << 9
                                    : child.a | 3;
}

/* Software's bits say that the leaf owes a plain reference. */
uint64_t rr_leaf_to(const struct rr *r, uint64_t pa, unsigned level)
{
    if ((r->flags & RR_AMD) != 0) {
        return pa | 0x7000000000000003ull;
    }
    return pa | 0x10000000000003ull | (level != 0 ? 0x80 : 0);
}

void rr_write_back(struct rr *r, const void *p, size_t size)
{
    if ((r->flags & RR_NONCOHERENT) != 0) {
        pvi_env_writeback(r->h, p, size);
    }
}

void rr_plain(struct rr *r, pvi_pa table, unsigned slot, uint64_t value)
{
    *rr_entry(r, table, slot) = value;
    rr_write_back(r, rr_entry(r, table, slot), 8);
}

void rr_store(struct rr *r, pvi_pa table, unsigned slot, uint64_t value)
{
    pvi_env_write64(r->h, rr_entry(r, table, slot), value);
    rr_write_back(r, rr_entry(r, table, slot), 8);
}

/* A leaf table of its own, for four pages from guest frame `gfn` on, which it pins. */
pvi_pa rr_new_leaf_table(struct rr *r, uint64_t gfn)
{
    pvi_pa pa = rr_new_page(r);
    struct pvi_frames f;
    pvi_gfn g = {gfn};
    unsigned i;

    assert_int_equal(pvi_host_frame_get(r->h, r->d, g, 4, PVI_RW, &f), 0);
    for (i = 0; i < 4; i++) {
        rr_plain(r, pa, i, rr_leaf_to(r, RR_FRAME + (gfn + i) * PVI_PAGE_SIZE, 0));
    }
    return pa;
}

int rr_attach(struct rr *r, struct pvi_posix_null *n, uint16_t rid, unsigned levels)
{
    struct pvi_dev_entry to = {
        .translate = true, .levels = (uint8_t)levels, .did = r->did, .root = r->root};
    bool absent;

    return pvi_host_dev_switch(r->h, &n->unit, rid, &to, &absent);
}

void rr_detach(struct rr *r, uint16_t rid)
{
    struct pvi_dev_entry off = {.translate = false};
    bool absent;

    assert_int_equal(pvi_host_dev_switch(r->h, &r->n.unit, rid, &off, &absent), 0);
}

void rr_told(struct rr *r, struct pvi_inv inv)
{
    assert_int_equal(pvi_host_inv_submit(r->h, &r->n.unit, &inv, 1), 0);
}

void rr_waited(struct rr *r)
{
    assert_int_equal(pvi_host_inv_wait(r->h, &r->n.unit), 0);
}

void rr_flush_pages(struct rr *r, uint64_t iova, unsigned lg2, bool leaf_only)
{
    struct pvi_inv inv = {.kind = PVI_INV_PAGES,
                          .lg2 = (uint8_t)lg2,
                          .leaf_only = leaf_only,
                          .did = r->did,
                          .iova = iova};

    rr_told(r, inv);
    rr_waited(r);
}

void rr_flush_domain(struct rr *r)
{
    struct pvi_inv inv = {.kind = PVI_INV_DOMAIN, .did = r->did};

    rr_told(r, inv);
    rr_waited(r);
}

void rr_flush_device(struct rr *r, uint16_t rid, bool was_absent)
{
    struct pvi_inv inv = {
        .kind = PVI_INV_DEVICE, .did = r->did, .rid = rid, .was_absent = was_absent};

    rr_told(r, inv);
    rr_waited(r);
}

void rr_put(struct rr *r, uint64_t gfn, uint64_t nr)
{
    struct pvi_frames f = {.pa = {RR_FRAME + gfn * PVI_PAGE_SIZE}, .nr = nr, .owe = PVI_OWE_REF};

    pvi_host_frame_put(r->h, r->d, &f);
}

void rr_give_back(struct rr *r, pvi_pa pa)
{
    memset(pvi_posix_ptr(r->h, pa.a, PVI_PAGE_SIZE), 0, PVI_PAGE_SIZE);
    pvi_host_page_free(r->h, pa);
}

void rr_drop_leaf_table(struct rr *r)
{
    rr_store(r, r->mid, 0, 0);
}

static void unit_init(struct rr *r, struct pvi_posix_null *n)
{
    memset(n, 0, sizeof(*n));
    n->absent_entries = (r->flags & RR_AMD) == 0;
    n->unit.caps.format = (r->flags & RR_AMD) != 0 ? &amd : &vtd;
    n->unit.caps.levels_mask = 0x78;
    n->unit.caps.page_selective = true;
    n->unit.caps.coherent = (r->flags & RR_NONCOHERENT) == 0;
    n->unit.caps.np_cache = (r->flags & RR_NP) != 0;
    n->unit.caps.write_buffer = (r->flags & RR_WBUF) != 0;
    assert_int_equal(pvi_posix_add_null(r->h, n), 0);
}

void rr_init(struct rr *r, unsigned flags)
{
    struct pvi_posix_cfg cfg = {.pa = RR_BASE, .size = 0x100000};
    struct pvi_posix_range ram = {
        .nr = 1024, .pa = RR_FRAME, .kind = PVI_POSIX_RAM_HVM, .prot = PVI_RW};

    memset(r, 0, sizeof(*r));
    r->flags = flags;
    r->h = pvi_posix_new(&cfg);
    assert_non_null(r->h);
    pvi_posix_count_violations(r->h, true);
    r->d = pvi_posix_hdom_new(r->h, 1);
    assert_int_equal(pvi_posix_hdom_range(r->d, &ram), 0);
    unit_init(r, &r->n);
    unit_init(r, &r->other);
    r->other.unit.index = 1;
    assert_int_equal(pvi_host_did_alloc(r->h, &r->n.unit, &r->did), 0);
    r->root = rr_new_page(r);
    r->mid = rr_new_page(r);
    r->leaf = rr_new_leaf_table(r, 0);
    rr_plain(r, r->mid, 0, rr_link_to(r, r->leaf, 1));
    rr_plain(r, r->root, 0, rr_link_to(r, r->mid, 2));
    assert_int_equal(rr_attach(r, &r->n, RR_RID, 3), 0);
    rr_flush_device(r, RR_RID, (flags & RR_AMD) == 0);
    rr_flush_domain(r);
    pvi_posix_checkpoint(r->h);
}

/* Nothing but `rule` was broken (PVI_RULE_NONE: nothing at all)? */
static bool verdict(struct rr *r, const struct rr_case *c)
{
    const char *text = "";
    uint64_t all = pvi_posix_violations(r->h, PVI_RULE_NONE, &text);
    uint64_t ours = c->rule == PVI_RULE_NONE ? 0 : pvi_posix_violations(r->h, c->rule, NULL);
    bool ok = all == ours && (c->rule == PVI_RULE_NONE || ours != 0);

    if (!ok) {
        fprintf(
            stderr,
            "%s, flags 0x%x: wanted rule %d, found %llu violations, %llu of it; the first: %s\n",
            c->name, r->flags, (int)c->rule, (unsigned long long)all, (unsigned long long)ours,
            text);
    }
    return ok;
}

unsigned rr_run(const struct rr_case *c, unsigned nr)
{
    unsigned i, flags, wrong = 0;

    for (i = 0; i < nr; i++) {
        for (flags = 0; flags <= RR_ALL; flags++) {
            struct rr r;

            if ((flags & c[i].need) != c[i].need || (flags & c[i].never) != 0) {
                continue;
            }
            rr_init(&r, flags);
            c[i].run(&r);
            wrong += verdict(&r, &c[i]) ? 0 : 1;
            rr_fini(&r);
        }
    }
    return wrong;
}

void rr_fini(struct rr *r)
{
    pvi_posix_free(r->h);
    pvi_posix_null_fini(&r->n);
    pvi_posix_null_fini(&r->other);
}
