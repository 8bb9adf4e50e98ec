/* SPDX-License-Identifier: MIT */
/* What the guest asks, what the devices then do, and what the unit was told: a row a step. */
#include "demo.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DFN_4K 0x40010ull
#define DFN_2M 0x40200ull
#define DFN_1G 0x80000ull
#define GFN(page) ((DEMO_RAM_FIRST >> PVI_PAGE_LG2) + (page))
#define GFN_1G (0x40000000ull >> PVI_PAGE_LG2)
#define DMA_LEN 512u

static struct pvi_op *add(struct demo *d, uint16_t code, uint16_t ctx)
{
    struct pvi_op *op = &d->op[d->nr++];

    memset(op, 0, sizeof(*op));
    op->code = code;
    op->ctx = ctx;
    op->domid = PVI_DOMID_SELF;
    return op;
}

static void add_map(struct demo *d, uint16_t ctx, uint64_t dfn, uint64_t gfn, uint64_t nr, uint32_t prot)
{
    struct pvi_op *op = add(d, PVI_OP_MAP, ctx);

    op->flags = prot;
    op->u.map.dfn.f = dfn;
    op->u.map.gfn.f = gfn;
    op->u.map.nr = nr;
}

static void add_unmap(struct demo *d, uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op *op = add(d, PVI_OP_UNMAP, ctx);

    op->u.unmap.dfn.f = dfn;
    op->u.unmap.nr = nr;
}

static void add_reattach(struct demo *d, unsigned dev, uint16_t ctx)
{
    add(d, PVI_OP_REATTACH_DEVICE, ctx)->u.reattach.sbdf.v = d->edu[dev].bdf;
}

static void row(struct demo *d, const char *asked, const char *saw, const char *told, bool ok)
{
    d->failed += !ok;
    if (d->rows) {
        json_array_append_new(d->rows, json_pack("{s:s, s:s, s:s, s:s, s:b}", "unit",
                                                 d->amd ? "AMD-Vi" : "VT-d", "asked", asked, "seen", saw,
                                                 "invalidations", told, "ok", ok));
    } else {
        /* The error's text up to its explanation is enough for a table. */
        printf("  %-50s %-15.*s %-34s %s\n", asked, (int)strcspn(saw, ":,"), saw, told, ok ? "ok" : "DIFFERS");
    }
}

/* What QEMU says that it was told, by its own trace events, and how often. Its generic lines are left out. */
static const struct {
    const char *event, *name;
} told_names[] = {{"vtd_inv_desc_cc_global", "context global"},
                  {"vtd_inv_desc_cc_device", "context entry"},
                  {"vtd_inv_desc_iotlb_global", "IOTLB global"},
                  {"vtd_inv_desc_iotlb_domain", "IOTLB domain"},
                  {"vtd_inv_desc_iotlb_pages", "IOTLB pages"},
                  {"amdvi_devtab_inval", "DTE"},
                  {"amdvi_pages_inval", "pages"},
                  {"amdvi_all_inval", "all"}};

#define TOLD_NAMES (sizeof(told_names) / sizeof(told_names[0]))

static void told_count(void *out, const char *event, const char *text)
{
    unsigned *count = out, i;

    (void)text;
    for (i = 0; i < TOLD_NAMES; i++) {
        count[i] += strcmp(event, told_names[i].event) == 0;
    }
}

static void told_text(struct demo *d, char *out, size_t size)
{
    unsigned count[TOLD_NAMES] = {0}, i;
    size_t used = 0;

    qt_trace_each(d->qt, "*", told_count, count);
    snprintf(out, size, "nothing");
    for (i = 0; i < TOLD_NAMES; i++) {
        if (count[i] != 0 && used < size) {
            used += (size_t)snprintf(out + used, size - used, "%s%ux %s", used ? ", " : "", count[i],
                                     told_names[i].name);
        }
    }
}

static void step(struct demo *d, const char *asked)
{
    char told[128] = "", saw[64] = "done";
    bool ok = true;
    unsigned i;

    memset(&d->batch, 0, sizeof(d->batch));
    d->batch.ops = d->op;
    d->batch.nr = d->nr;
    qt_trace_mark(d->qt);
    while (pvi_submit(&d->guest, &d->batch) == -PVI_EPREEMPTED) {
    }
    told_text(d, told, sizeof(told));
    for (i = 0; i < d->nr; i++) {
        if (d->op[i].status != 0) {
            snprintf(saw, sizeof(saw), "op %u %s", i, pvi_strerror(d->op[i].status));
            ok = false;
        }
    }
    row(d, asked, saw, told, ok);
    d->nr = 0;
}

/* Steps that must be refused: the error is what is expected. */
static void refused(struct demo *d, const char *asked, int err)
{
    int status;

    memset(&d->batch, 0, sizeof(d->batch));
    d->batch.ops = d->op;
    d->batch.nr = d->nr;
    while (pvi_submit(&d->guest, &d->batch) == -PVI_EPREEMPTED) {
    }
    status = d->op[d->nr - 1].status;
    row(d, asked, pvi_strerror(status), "nothing", status == -err);
    d->nr = 0;
}

static void dma(struct demo *d, const char *asked, unsigned dev, bool write, uint64_t iova, uint64_t pa,
                enum qt_verdict want)
{
    enum qt_verdict got = write ? qt_dma_write_lands(&d->edu[dev], iova, pa, DMA_LEN)
                                : qt_dma_read_lands(&d->edu[dev], iova, pa, DMA_LEN);

    row(d, asked, qt_verdict_name(got), "", got == want);
}

static void steps_contexts(struct demo *d)
{
    uint64_t iova = DFN_4K << PVI_PAGE_LG2;
    struct pvi_op *op;

    dma(d, "  device 0 writes, nobody has allowed it", 0, true, iova, DEMO_RAM_FIRST, QT_BLOCKED);
    op = add(d, PVI_OP_INIT, 0);
    op->u.init.nr_contexts = 4;
    op->u.init.nr_pages = 512;
    add(d, PVI_OP_ALLOC_CONTEXT, 0);
    add(d, PVI_OP_ALLOC_CONTEXT, 0);
    add_map(d, 1, DEMO_BOUNCE_DFN, GFN(0), 1, PVI_RW);
    add_map(d, 2, DEMO_BOUNCE_DFN, GFN(1), 1, PVI_RW);
    add_map(d, 1, DFN_4K, GFN(16), 1, PVI_RW);
    add_map(d, 2, DFN_4K, GFN(17), 1, PVI_RW);
    add_reattach(d, 0, 1);
    add_reattach(d, 1, 2);
    step(d, "two contexts, one DFN in both, a device each");
    dma(d, "  device 0 writes there", 0, true, iova, DEMO_RAM_FIRST + (16 << 12), QT_LANDED);
    dma(d, "  device 1 writes there: another frame", 1, true, iova, DEMO_RAM_FIRST + (17 << 12), QT_LANDED);
    add_reattach(d, 0, 2);
    step(d, "device 0 moves to the second context");
    qt_edu_set_bounce(&d->edu[0], DEMO_BOUNCE_DFN << PVI_PAGE_LG2, DEMO_RAM_FIRST + PVI_PAGE_SIZE);
    dma(d, "  device 0 writes: the second frame now", 0, true, iova, DEMO_RAM_FIRST + (17 << 12), QT_LANDED);
    add_reattach(d, 0, 1);
    step(d, "and back");
    qt_edu_set_bounce(&d->edu[0], DEMO_BOUNCE_DFN << PVI_PAGE_LG2, DEMO_RAM_FIRST);
}

static void steps_sizes(struct demo *d)
{
    uint64_t pa2m = DEMO_RAM_FIRST + 0x200000, at;

    add_map(d, 1, DFN_2M, GFN(512), 512, PVI_RW);
    add_map(d, 1, DFN_1G, GFN_1G, 0x40000, PVI_RW);
    add_map(d, 1, DFN_4K + 1, GFN(20), 1, PVI_READ);
    step(d, "map 2 MiB, 1 GiB and a read-only page");
    at = DFN_2M << PVI_PAGE_LG2;
    dma(d, "  write near the end of the 2 MiB", 0, true, at + 0x1ff000, pa2m + 0x1ff000, QT_LANDED);
    at = DFN_1G << PVI_PAGE_LG2;
    dma(d, "  write near the end of the 1 GiB", 0, true, at + 0x3fffe000, 0x40000000ull + 0x3fffe000, QT_LANDED);
    at = (DFN_4K + 1) << PVI_PAGE_LG2;
    dma(d, "  read the read-only page", 0, false, at, DEMO_RAM_FIRST + (20 << 12), QT_LANDED);
    dma(d, "  write the read-only page", 0, true, at, DEMO_RAM_FIRST + (20 << 12), QT_BLOCKED);
    add_map(d, 1, DFN_2M + 5, GFN(3), 1, PVI_RW);
    refused(d, "map over a page of the 2 MiB: refused", PVI_EEXIST);
    add_unmap(d, 1, DFN_2M + 5, 1);
    step(d, "unmap one page of the 2 MiB: it is split in place");
    at = (DFN_2M + 5) << PVI_PAGE_LG2;
    dma(d, "  write that page", 0, true, at, pa2m + 0x5000, QT_BLOCKED);
    dma(d, "  write its neighbour", 0, true, at + 0x1000, pa2m + 0x6000, QT_LANDED);
    add_unmap(d, 1, DFN_4K, 1);
    add_unmap(d, 1, DFN_1G, 0x40000);
    step(d, "unmap 4 KiB and 1 GiB in one batch");
    dma(d, "  write the page", 0, true, DFN_4K << PVI_PAGE_LG2, DEMO_RAM_FIRST + (16 << 12), QT_BLOCKED);
    dma(d, "  write the 1 GiB", 0, true, DFN_1G << PVI_PAGE_LG2, 0x40000000ull, QT_BLOCKED);
}

static void steps_identity(struct demo *d)
{
    uint64_t table = d->guest.default_ctx.pt.root->pa.a;

    add(d, PVI_OP_ALLOC_CONTEXT, 0)->flags = PVI_ALLOC_IDENTITY;
    add_map(d, 3, DEMO_BOUNCE_DFN, GFN(1), 1, PVI_RW);
    add_reattach(d, 1, 3);
    step(d, "an identity context for device 1");
    dma(d, "  write guest memory 1:1", 1, true, DEMO_RAM_FIRST + 0x5000000, DEMO_RAM_FIRST + 0x5000000, QT_LANDED);
    dma(d, "  write a page-table page of the library", 1, true, table, table, QT_BLOCKED);
    add(d, PVI_OP_FREE_CONTEXT, 3);
    refused(d, "free it with the device attached: refused", PVI_EBUSY);
    add(d, PVI_OP_FREE_CONTEXT, 3)->flags = PVI_FREE_REATTACH;
    step(d, "free it, its device goes to the default context");
    dma(d, "  write guest memory 1:1", 1, true, DEMO_RAM_FIRST + 0x5000000, DEMO_RAM_FIRST + 0x5000000, QT_BLOCKED);
    add(d, PVI_OP_FREE_CONTEXT, 1)->flags = PVI_FREE_REATTACH;
    add(d, PVI_OP_FREE_CONTEXT, 2)->flags = PVI_FREE_REATTACH;
    step(d, "free everything");
}

void demo_steps(struct demo *d)
{
    if (!d->rows) {
        printf("\n%s (QEMU's %s, driven by the library)\n", d->amd ? "AMD-Vi" : "VT-d",
               d->amd ? "amd-iommu" : "intel-iommu");
        printf("  %-50s %-15s %-34s\n", "asked", "seen", "invalidations issued");
    }
    steps_contexts(d);
    steps_sizes(d);
    steps_identity(d);
    if (!pvi_posix_hdom_balanced(d->owner)) {
        row(d, "every frame is released", "references are left", "", false);
    }
}
