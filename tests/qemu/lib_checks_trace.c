/* SPDX-License-Identifier: MIT */
/*
 * Which invalidations a batch costs: decoded from the ring on the way to the unit, and again as
 * QEMU traces what it has executed. For the parts of a command that QEMU ignores (address, size and
 * scope on AMD-Vi; IH on VT-d) this is the judge. hwspec 4.2, 7.2.
 */
#include "lib_checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCATTERED 20u

/* What one batch must cost. */
struct cost {
    unsigned pages, domains, devices, waits;
    uint64_t bytes; /* named by the page invalidations, together */
};

static void begin(struct lib *l)
{
    qt_trace_mark(l->qt);
    lib_tap_reset(&l->tap);
    pvi_posix_calls_reset(l->host);
}

/* Commands of a kind as QEMU names them. */
static const char *event_of(const struct lib *l, enum lib_cmd_kind kind)
{
    static const char *const vtd[LIB_CMD_KINDS] = {
        "vtd_inv_desc_iotlb_pages",
        "vtd_inv_desc_iotlb_domain",
        "vtd_inv_desc_cc_devices",
        "vtd_inv_desc_cc_global",
        "vtd_inv_desc_iotlb_global",
        "vtd_inv_desc_wait_sw",
        NULL,
    };
    static const char *const amdvi[LIB_CMD_KINDS] = {
        "amdvi_pages_inval",     NULL, "amdvi_devtab_inval", NULL, "amdvi_all_inval",
        "amdvi_completion_wait", NULL,
    };

    return l->cfg.amd ? amdvi[kind] : vtd[kind];
}

/* QEMU has executed what was in the ring, command by command. */
static void check_trace(struct lib *l)
{
    unsigned count[LIB_CMD_KINDS];
    unsigned kind;

    memcpy(count, l->tap.count, sizeof(count));
    if (l->cfg.amd) { /* one command, one event */
        count[LIB_CMD_PAGES] += count[LIB_CMD_DOMAIN];
        count[LIB_CMD_DOMAIN] = 0;
    }
    for (kind = 0; kind < LIB_CMD_KINDS; kind++) {
        const char *event = event_of(l, (enum lib_cmd_kind)kind);
        size_t seen = event ? qt_trace_count(l->qt, event) : 0;

        lib_check(l, seen == count[kind], "%zu %s traced, %u in the ring", seen,
                  lib_cmd_name((enum lib_cmd_kind)kind), count[kind]);
    }
}

struct page_events {
    struct lib *l;
    unsigned at;
};

/* The nth page invalidation traced by VT-d names what the nth in the ring names. */
static void see_page_event(void *ctx, const char *event, const char *text)
{
    struct page_events *events = ctx;
    const struct lib_tap *tap = &events->l->tap;
    const char *args = strstr(text, "domain");
    unsigned did, mask;
    uint64_t addr;

    (void)event;
    while (events->at < tap->nr && tap->log[events->at].kind != LIB_CMD_PAGES)
        events->at++;
    if (!lib_check(
            events->l,
            events->at < tap->nr && args &&
                sscanf(args, "domain 0x%x addr 0x%" SCNx64 " mask 0x%x", &did, &addr, &mask) == 3,
            "QEMU traced: %s", text))
        return;
    lib_check(events->l,
              did == tap->log[events->at].did && addr == tap->log[events->at].iova &&
                  mask + 12 == tap->log[events->at].lg2,
              "QEMU traced: %s; the ring has id %u, 0x%" PRIx64 ", 2^%u bytes", text,
              tap->log[events->at].did, tap->log[events->at].iova, tap->log[events->at].lg2);
    events->at++;
}

/* Waits that somebody waits for; the others are fences. */
static unsigned waits(const struct lib *l)
{
    unsigned nr = 0, i;

    for (i = 0; i < l->tap.nr; i++)
        nr += l->tap.log[i].kind == LIB_CMD_WAIT && l->tap.log[i].data != 0;
    return nr;
}

static void check_cost(struct lib *l, const char *what, const struct cost *cost)
{
    const unsigned *count = l->tap.count;
    struct page_events events = { l, 0 };
    uint64_t bytes = 0;
    unsigned i;

    for (i = 0; i < l->tap.nr; i++) {
        if (l->tap.log[i].kind == LIB_CMD_PAGES)
            bytes += UINT64_C(1) << l->tap.log[i].lg2;
    }
    lib_check(l,
              count[LIB_CMD_PAGES] == cost->pages && count[LIB_CMD_DOMAIN] == cost->domains &&
                  count[LIB_CMD_DEVICE] == cost->devices && waits(l) == cost->waits &&
                  count[LIB_CMD_ALL] + count[LIB_CMD_ENTRIES] + count[LIB_CMD_OTHER] == 0,
              "%s: %u pages, %u domains, %u devices, %u waits, expected: %u, %u, %u, %u", what,
              count[LIB_CMD_PAGES], count[LIB_CMD_DOMAIN], count[LIB_CMD_DEVICE], waits(l),
              cost->pages, cost->domains, cost->devices, cost->waits);
    lib_check(l, bytes == cost->bytes, "%s: 0x%" PRIx64 " bytes invalidated, expected: 0x%" PRIx64,
              what, bytes, cost->bytes);
    lib_check(l, pvi_posix_calls(l->host, PVI_AT_INV_WAIT) == cost->waits,
              "%s: the host saw %" PRIu64 " waits", what,
              pvi_posix_calls(l->host, PVI_AT_INV_WAIT));
    lib_check(l, l->tap.nr == 0 || l->tap.log[l->tap.nr - 1].kind == LIB_CMD_WAIT,
              "%s: the last command is no wait", what);
    check_trace(l);
    if (!l->cfg.amd)
        qt_trace_each(l->qt, "vtd_inv_desc_iotlb_pages", see_page_event, &events);
}

/* Some page invalidation of the id covers [iova, iova + size), with the scope that it takes. */
static void check_covered(struct lib *l, unsigned did, uint64_t iova, uint64_t size, bool tables)
{
    uint64_t at = iova, next = at;
    unsigned i;

    for (; at < iova + size; at = next) {
        for (i = 0; i < l->tap.nr; i++) {
            const struct lib_cmd *cmd = &l->tap.log[i];

            if (cmd->kind == LIB_CMD_PAGES && cmd->did == did &&
                at - cmd->iova < UINT64_C(1) << cmd->lg2 && !(tables && cmd->leaf_only)) {
                next = cmd->iova + (UINT64_C(1) << cmd->lg2);
                break;
            }
        }
        if (!lib_check(l, i < l->tap.nr, "0x%" PRIx64 " of domain id %u is not invalidated%s", at,
                       did, tables ? " with its tables" : ""))
            return;
    }
}

static unsigned did_of(struct lib *l, const struct lib_dev *dev)
{
    struct lib_entry entry;

    lib_read_entry(l, dev->rid, &entry);
    return entry.did;
}

/* Every third page: no two ranges touch. */
static void scatter(struct lib *l, unsigned ctx, uint64_t at, unsigned nr, bool map)
{
    struct pvi_op ops[256];
    unsigned i;

    for (i = 0; i < nr; i++)
        ops[i] = map ? lib_op_map(ctx, at + i * 3 * LIB_PAGE, SMALL(i), 1, PVI_RW)
                     : lib_op_unmap(ctx, at + i * 3 * LIB_PAGE, 1);
    lib_submit(l, ops, nr);
    for (i = 0; i < nr; i++)
        lib_check_status(l, ops[i].status, 0, map ? "map" : "unmap");
}

void lib_check_trace_scattered(struct lib *l)
{
    const struct cost nothing = { 0, 0, 0, 0, 0 };
    const struct cost each = { SCATTERED, 0, 0, 1, SCATTERED * LIB_PAGE };
    const struct cost domain = { 0, 1, 0, 1, 0 };
    uint64_t at = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), did = did_of(l, LIB_E0), i;
    unsigned many = l->unit->caps.inv_max_nr + 1u;

    lib_must_map(l, c, at + 2 * LIB_MIB - LIB_PAGE, SMALL(999), 1, PVI_RW); /* the table stays */
    begin(l);
    scatter(l, c, at, SCATTERED, true);
    check_cost(l, "scattered maps", l->np_cache ? &each : &nothing);
    for (i = 0; l->np_cache && i < SCATTERED; i++)
        check_covered(l, did, at + i * 3 * LIB_PAGE, LIB_PAGE, true);
    begin(l);
    scatter(l, c, at, SCATTERED, false);
    check_cost(l, "scattered unmaps", &each);
    for (i = 0; i < SCATTERED; i++)
        check_covered(l, did, at + i * 3 * LIB_PAGE, LIB_PAGE, false);
    scatter(l, c, at, many, true);
    begin(l);
    scatter(l, c, at, many, false);
    check_cost(l, "more scattered unmaps than pay", &domain);
    lib_check(l, l->tap.log[0].did == did, "domain id %u instead of %u", l->tap.log[0].did, did);
    begin(l);
    lib_check_status(l, lib_unmap(l, c, at, 1), -PVI_ENOENT, "unmap of nothing");
    lib_check_status(l, lib_map(l, c, at + 2 * LIB_MIB - LIB_PAGE, SMALL(5), 1, PVI_RW),
                     -PVI_EEXIST, "map over a mapping");
    check_cost(l, "what changes nothing", &nothing);
    lib_clear(l);
}

void lib_check_trace_ranges(struct lib *l)
{
    static const struct {
        const char *what;
        uint64_t first, nr; /* pages */
        unsigned commands;  /* aligned blocks that cover them exactly */
    } range[] = {
        { "one page", 5, 1, 1 },
        { "an aligned block", 64, 16, 1 },
        { "seven pages from an odd one", 33, 7, 3 }, /* 33, 34-35, 36-39 */
        { "from odd to odd", 129, 30, 8 },           /* 1 2 4 8 8 4 2 1 */
    };
    uint64_t at = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), did = did_of(l, LIB_E0), i;

    lib_must_map(l, c, at + 511 * LIB_PAGE, SMALL(999), 1, PVI_RW);
    for (i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
        const struct cost cost = { range[i].commands, 0, 0, 1, range[i].nr * LIB_PAGE };
        uint64_t first = at + range[i].first * LIB_PAGE;

        lib_must_map(l, c, first, SMALL(7), range[i].nr, PVI_RW);
        begin(l);
        lib_must_unmap(l, c, first, range[i].nr);
        check_cost(l, range[i].what, &cost);
        check_covered(l, did, first, range[i].nr * LIB_PAGE, false);
    }
    lib_clear(l);
}

void lib_check_trace_tables(struct lib *l)
{
    const struct cost small = { 1, 0, 0, 1, 2 * LIB_MIB }, large = { 1, 0, 0, 1, LIB_GIB };
    uint64_t at = lib_high(l);
    unsigned c = lib_context_with(l, LIB_E0), did = did_of(l, LIB_E0);

    lib_must_map(l, c, at + LIB_GIB - 2 * LIB_MIB, SMALL(999), 1, PVI_RW);
    lib_must_map(l, c, at + 8 * LIB_GIB, SMALL(998), 1, PVI_RW);
    lib_must_map(l, c, at, MEDIUM(1), 512, PVI_RW);
    begin(l);
    lib_must_unmap(l, c, at, 512);
    check_cost(l, "a leaf of 2 MiB", &small);
    check_covered(l, did, at, 2 * LIB_MIB, false);
    lib_must_map(l, c, at, SMALL(0), 512, PVI_RW);
    begin(l);
    lib_must_unmap(l, c, at, 512);
    check_cost(l, "a table of small leaves", &small);
    check_covered(l, did, at, 2 * LIB_MIB, true);
    lib_must_map(l, c, at, MEDIUM(1), 512, PVI_RW);
    begin(l);
    lib_must_unmap(l, c, at + 9 * LIB_PAGE, 1);
    check_cost(l, "a page out of 2 MiB", &small);
    check_covered(l, did, at, 2 * LIB_MIB, true);
    lib_must_unmap(l, c, at, 9);
    lib_must_unmap(l, c, at + 10 * LIB_PAGE, 502);
    begin(l);
    lib_must_map(l, c, at, MEDIUM(2), 512, PVI_RW);
    if (!l->cfg.trim) { /* else the empty table had gone before */
        check_cost(l, "2 MiB in the place of an empty table", &small);
        check_covered(l, did, at, 2 * LIB_MIB, true);
    }
    lib_must_map(l, c, at + 2 * LIB_GIB, LIB_GFN_BIG, LIB_NR_BIG, PVI_RW);
    begin(l);
    lib_must_unmap(l, c, at + 2 * LIB_GIB, LIB_NR_BIG);
    check_cost(l, "a leaf of 1 GiB", &large);
    check_covered(l, did, at + 2 * LIB_GIB, LIB_GIB, false);
    lib_clear(l);
}

void lib_check_trace_contexts(struct lib *l)
{
    const struct cost two = { 2, 0, 0, 1, 2 * LIB_PAGE }, move = { 0, 1, 1, 1, 0 };
    const struct cost domain = { 0, 1, 0, 1, 0 };
    /* As good where one command can name as much. */
    const struct cost reach = { 1, 0, 0, 1, UINT64_C(1) << (lib_iova_bits(l) % 64) };
    uint64_t at = lib_high(l);
    unsigned a = lib_context_with(l, LIB_E0), b = lib_context_with(l, LIB_E1), did_a, did_b;
    struct pvi_op ops[3];

    did_a = did_of(l, LIB_E0);
    did_b = did_of(l, LIB_E1);
    lib_check(l, did_a != did_b && did_a != 0 && did_b != 0, "domain ids %u and %u", did_a, did_b);
    lib_must_map(l, a, at, SMALL(1), 2, PVI_RW);
    lib_must_map(l, b, at, SMALL(3), 2, PVI_RW);
    begin(l);
    ops[0] = lib_op_unmap(a, at, 1);
    ops[1] = lib_op_unmap(b, at, 1);
    ops[2] = lib_op_lookup(b, at + LIB_PAGE);
    lib_submit(l, ops, 3);
    check_cost(l, "two contexts in one batch", &two);
    check_covered(l, did_a, at, LIB_PAGE, false);
    check_covered(l, did_b, at, LIB_PAGE, false);
    begin(l);
    ops[0] = lib_op(PVI_OP_FLUSH, a, 0);
    lib_submit(l, ops, 1);
    check_cost(l, "flush of a context", l->tap.count[LIB_CMD_PAGES] ? &reach : &domain);
    lib_check(l, l->tap.log[0].did == did_a, "domain id %u instead of %u", l->tap.log[0].did,
              did_a);
    begin(l);
    lib_must_reattach(l, b, LIB_E0);
    check_cost(l, "reattach", &move);
    lib_check(l,
              l->tap.log[0].kind == LIB_CMD_DEVICE && l->tap.log[0].rid == LIB_E0->rid &&
                  (l->cfg.amd || l->tap.log[0].did == did_a),
              "the first command is not for the device's old entry");
    lib_check(l,
              l->tap.log[l->tap.nr - 2].kind == LIB_CMD_DOMAIN &&
                  l->tap.log[l->tap.nr - 2].did == did_a,
              "the last but one is not for the old domain id");
    lib_clear(l);
}
