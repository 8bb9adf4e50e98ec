/* SPDX-License-Identifier: MIT */
/*
 * Exact counts of what the library does to memory and to the bus, for a fixed list of workloads, formats and units with and
 * without coherent walks. They are the same on every machine, so a table of them is kept and compared (bench/counts.txt).
 */
#define _GNU_SOURCE
#include "counts.h"
#include "bench.h"
#include "host.h"
#include "memory.h"
#include <pviommu/amdvi.h>
#include <pviommu/batch.h>
#include <pviommu/vtd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL_PAGES 1600u
#define BATCH_OPS 128u
#define GUEST_FRAMES ((uint64_t)PAGES_1G)

struct env_counts env_counts;

/** One format on one sort of unit. */
struct lab {
    const struct pvi_pt_ops *ops;
    bool coherent;
    struct pvi_host host;
    struct pvi_pool pool;
    struct pvi_quota quota;
    struct pvi_pt pt;
    struct pvi_gather gather;
    struct pvi_system system;
    struct pvi_unit unit;
    struct pvi_domain domain;
    struct pvi_device device;
    struct pvi_batch batch;
    uint16_t ctx;
    struct pvi_op op[BATCH_OPS];
};

struct report {
    char *text;
    size_t size;
    FILE *out;
    unsigned broken;
};

static void need_ok(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "pviommu-bench: counts: failed: %s\n", what);
        exit(2);
    }
}

/* --- tables ----------------------------------------------------------------------------------------- */

static void table_map(struct lab *lab, uint64_t iova, uint64_t pa, uint64_t len, uint8_t owe)
{
    struct pvi_pt_map r = {.iova = iova, .pa = pa, .len = len, .prot = PVI_RW, .owe = owe};

    while (r.done < r.len) {
        need_ok(lab->ops->map(&lab->pt, NULL, &r, &lab->gather) == 0, "map");
    }
}

static void table_unmap(struct lab *lab, uint64_t iova, uint64_t len)
{
    struct pvi_pt_unmap r = {.first = iova, .last = iova + len - 1, .next = iova};
    int rc;

    while (!r.complete) {
        rc = lab->ops->unmap(&lab->pt, NULL, &r, &lab->gather);
        if (rc == -PVI_EBUSY) {
            rc = pvi_gather_flush(&lab->gather);
        }
        need_ok(rc == 0, "unmap");
    }
    need_ok(pvi_gather_flush(&lab->gather) == 0, "flush");
}

static struct pvi_pt_cfg table_cfg(const struct lab *lab)
{
    struct pvi_pt_cfg cfg = {.ops = lab->ops, .page_sizes = lab->ops->page_sizes, .levels = 4, .pa_bits = 48};
    uint8_t reach = lab->ops->iova_bits(4);

    cfg.iova_bits = reach < 48 ? reach : 48;
    cfg.coherent = lab->coherent;
    return cfg;
}

static void table_start(struct lab *lab)
{
    struct pvi_pt_cfg cfg = table_cfg(lab);
    uint32_t done;

    memory_reset();
    host_init(&lab->host, PA_BASE(0), 0);
    pvi_pool_init(&lab->pool, &lab->host);
    memset(&lab->quota, 0, sizeof(lab->quota));
    lab->quota.limit = UINT32_MAX;
    need_ok(pvi_pool_grow(&lab->pool, POOL_PAGES, &done) == 0, "pool");
    need_ok(pvi_pt_init(&lab->pt, &cfg, &lab->pool, &lab->quota) == 0, "table");
    pvi_gather_init(&lab->gather, &lab->host, NULL, lab->ops);
}

/* --- batches ---------------------------------------------------------------------------------------- */

static void submit(struct lab *lab, uint32_t nr)
{
    uint32_t i;

    memset(&lab->batch, 0, sizeof(lab->batch));
    lab->batch.ops = lab->op;
    lab->batch.nr = nr;
    need_ok(pvi_submit(&lab->domain, &lab->batch) == 0, "submit");
    for (i = 0; i < nr; i++) {
        need_ok(lab->op[i].status == 0, "operation");
    }
}

static struct pvi_op *operation(struct lab *lab, uint32_t i, uint16_t code)
{
    memset(&lab->op[i], 0, sizeof(lab->op[i]));
    lab->op[i].code = code;
    lab->op[i].domid = PVI_DOMID_SELF;
    lab->op[i].ctx = code == PVI_OP_INIT || code == PVI_OP_ALLOC_CONTEXT ? 0 : lab->ctx;
    return &lab->op[i];
}

static void domain_start(struct lab *lab)
{
    struct pvi_pt_cfg table = table_cfg(lab);
    struct pvi_domain_cfg cfg = {.hdom = (struct pvi_hdom *)(void *)&lab->host, .system = &lab->system, .max_contexts = 1,
                                 .max_pages = POOL_PAGES, .iova_bits = table.iova_bits};
    struct pvi_unit_caps *caps = &lab->unit.caps;

    memory_reset();
    host_init(&lab->host, PA_BASE(0), GUEST_FRAMES);
    memset(&lab->system, 0, sizeof(lab->system));
    memset(&lab->unit, 0, sizeof(lab->unit));
    memset(&lab->device, 0, sizeof(lab->device));
    *caps = (struct pvi_unit_caps){.format = lab->ops, .page_sizes = lab->ops->page_sizes, .levels_mask = 1u << 4,
                                   .iova_bits = table.iova_bits, .pa_bits = 48, .coherent = lab->coherent,
                                   .page_selective = true, .inv_max_lg2 = 30, .inv_max_nr = 8, .nr_dids = 16};
    lab->unit.host = &lab->host;
    lab->host.domain = &lab->domain;
    lab->device.unit = &lab->unit;
    lab->device.nr_rids = 1;
    need_ok(pvi_system_add_unit(&lab->system, &lab->unit) == 0, "unit");
    need_ok(pvi_domain_init(&lab->domain, &lab->host, &cfg) == 0, "domain");
    need_ok(pvi_device_add(&lab->domain, &lab->device) == 0, "device");
    operation(lab, 0, PVI_OP_INIT)->u.init.nr_contexts = 1;
    lab->op[0].u.init.nr_pages = POOL_PAGES;
    submit(lab, 1);
    operation(lab, 0, PVI_OP_ALLOC_CONTEXT);
    submit(lab, 1);
    lab->ctx = lab->op[0].ctx;
    operation(lab, 0, PVI_OP_REATTACH_DEVICE);
    submit(lab, 1);
}

/* nr operations of one frame each, `stride` frames apart. */
static void batch_pages(struct lab *lab, uint16_t code, uint64_t stride)
{
    uint32_t i;

    for (i = 0; i < BATCH_OPS; i++) {
        struct pvi_op *op = operation(lab, i, code);

        if (code == PVI_OP_MAP) {
            op->flags = PVI_MAP_READ | PVI_MAP_WRITE;
            op->u.map.dfn.f = (IOVA_BASE(0) >> PVI_PAGE_LG2) + i * stride;
            op->u.map.gfn.f = i * 7;
            op->u.map.nr = 1;
        } else {
            op->u.unmap.dfn.f = (IOVA_BASE(0) >> PVI_PAGE_LG2) + i * stride;
            op->u.unmap.nr = 1;
        }
    }
    submit(lab, BATCH_OPS);
}

static void batch_run(struct lab *lab, uint16_t code, uint64_t nr)
{
    struct pvi_op *op = operation(lab, 0, code);

    op->flags = code == PVI_OP_MAP ? PVI_MAP_READ | PVI_MAP_WRITE : 0;
    if (code == PVI_OP_MAP) {
        op->u.map.dfn.f = IOVA_BASE(0) >> PVI_PAGE_LG2;
        op->u.map.gfn.f = 1;
        op->u.map.nr = nr;
    } else {
        op->u.unmap.dfn.f = IOVA_BASE(0) >> PVI_PAGE_LG2;
        op->u.unmap.nr = nr;
    }
    submit(lab, 1);
}

/* --- workloads -------------------------------------------------------------------------------------- */

enum kind { MAP, UNMAP, PAGES_MAP, PAGES_UNMAP, RUN_MAP, RUN_UNMAP };

/** Run in this order, each on what the ones before it have left; `fresh` begins with a table that has nothing. */
static const struct workload {
    const char *name;
    bool fresh;
    uint8_t kind; /**< enum kind */
    uint8_t owe;
    uint64_t at, off, len; /**< off: of the frame, so that nothing larger fits; batches: stride in frames, or frames */
} workloads[] = {
    {"table map 4K, new tables", true, MAP, PVI_OWE_NONE, 0, K4, K4},
    {"table map 4K", false, MAP, PVI_OWE_NONE, K4, 2 * K4, K4},
    {"table unmap 4K", false, UNMAP, PVI_OWE_NONE, K4, 0, K4},
    {"table map 256x4K", false, MAP, PVI_OWE_NONE, M1, K4, M1},
    {"table unmap 256x4K", false, UNMAP, PVI_OWE_NONE, M1, 0, M1},
    {"table map 1 MiB aligned", false, MAP, PVI_OWE_NONE, M1, 0, M1},
    {"table unmap 1 MiB aligned", false, UNMAP, PVI_OWE_NONE, M1, 0, M1},
    {"table map 256x4K owed", false, MAP, PVI_OWE_REF, M1, K4, M1},
    {"table unmap 256x4K owed", false, UNMAP, PVI_OWE_REF, M1, 0, M1},
    {"table map 2M", false, MAP, PVI_OWE_NONE, 4 * M2, M2, M2},
    {"table unmap 4K of 2M", false, UNMAP, PVI_OWE_NONE, 4 * M2, 0, K4},
    {"table map 1 GiB of 4K, new tables", true, MAP, PVI_OWE_NONE, 0, K4, G1},
    {"table unmap 1 GiB of 4K", false, UNMAP, PVI_OWE_NONE, 0, 0, G1},
    {"table map 1 GiB of 4K owed, new tables", true, MAP, PVI_OWE_REF, 0, K4, G1},
    {"table unmap 1 GiB of 4K owed", false, UNMAP, PVI_OWE_REF, 0, 0, G1},
    {"table map 256x2M, new tables", true, MAP, PVI_OWE_NONE, 0, M2, 256 * M2},
    {"table unmap 256x2M", false, UNMAP, PVI_OWE_NONE, 0, 0, 256 * M2},
    {"table map 256x1G, new tables", true, MAP, PVI_OWE_NONE, 0, G1, 256 * G1},
    {"table unmap 256x1G", false, UNMAP, PVI_OWE_NONE, 0, 0, 256 * G1},
    {"table map 1 TiB identity, new tables", true, MAP, PVI_OWE_NONE, 0, 0, T1},
    {"table unmap 1 TiB identity", false, UNMAP, PVI_OWE_NONE, 0, 0, T1},
    {"batch of 128 maps, contiguous", true, PAGES_MAP, 0, 0, 1, 0},
    {"batch of 128 unmaps, contiguous", false, PAGES_UNMAP, 0, 0, 1, 0},
    {"batch of 128 maps, 128 tables", true, PAGES_MAP, 0, 0, 512, 0},
    {"batch of 128 unmaps, 128 tables", false, PAGES_UNMAP, 0, 0, 512, 0},
    {"batch of 1 map of 16 MiB", true, RUN_MAP, 0, 0, 0, 4096},
    {"batch of 1 unmap of 16 MiB", false, RUN_UNMAP, 0, 0, 0, 4096},
};

static void work(struct lab *lab, const struct workload *w)
{
    uint64_t iova = IOVA_BASE(0) + w->at;

    switch (w->kind) {
    case MAP:
        table_map(lab, iova, PA_BASE(w->at) + w->off, w->len, w->owe);
        break;
    case UNMAP:
        table_unmap(lab, iova, w->len);
        break;
    case PAGES_MAP:
    case PAGES_UNMAP:
        batch_pages(lab, w->kind == PAGES_MAP ? PVI_OP_MAP : PVI_OP_UNMAP, w->off);
        break;
    default:
        batch_run(lab, w->kind == RUN_MAP ? PVI_OP_MAP : PVI_OP_UNMAP, w->len);
        break;
    }
}

/* What is in use now: pages of tables, and entries in them that are not empty. */
static void in_use(uint64_t *tables, uint64_t *entries)
{
    uint64_t i;

    *tables = *entries = 0;
    for (i = 0; i < memory_pages; i++) {
        const struct pvi_page *page = (const struct pvi_page *)(const void *)(memory_records + i * MEMORY_RECORD);

        if (page->pool && page->state == PVI_PAGE_TABLE) {
            ++*tables;
            *entries += page->live;
        }
    }
}

/* Rules that no table of figures may drift away from. */
static void judge(struct report *r, const struct lab *lab, const struct workload *w, const struct env_counts *c)
{
    uint64_t leaves = w->len / K4, locked = c->cmpxchg + c->adds + c->locks;
    const char *rule = NULL;

    if (lab->coherent && c->lines != 0) {
        rule = "nothing is written back where walks snoop";
    } else if (!lab->coherent && (strcmp(w->name, "table map 256x4K") == 0 || strcmp(w->name, "table unmap 256x4K") == 0) &&
               c->lines != leaves / 8) {
        rule = "one write-back for each line of 8 entries";
    } else if (w->kind <= UNMAP && w->len >= M1 && w->off == K4 && locked > 8 + leaves / 64) {
        rule = "no locked instruction for each leaf in bulk";
    }
    if (rule) {
        fprintf(stderr, "pviommu-bench: %s, %s, %s: broken: %s\n", lab->ops->name,
                lab->coherent ? "coherent" : "not coherent", w->name, rule);
        r->broken++;
    }
}

static void measure(struct report *r, struct lab *lab, const struct workload *w)
{
    uint64_t tables_before, tables, entries, inv, waits;
    struct env_counts c;

    if (w->fresh) {
        host_fini(&lab->host);
        memset(memory_records, 0, memory_pages * MEMORY_RECORD);
        if (w->kind <= UNMAP) {
            table_start(lab);
        } else {
            domain_start(lab);
        }
    }
    in_use(&tables_before, &entries);
    inv = lab->host.seen.invalidations;
    waits = lab->host.seen.waits;
    memset(&env_counts, 0, sizeof(env_counts));
    work(lab, w);
    c = env_counts;
    in_use(&tables, &entries);
    judge(r, lab, w, &c);
    fprintf(r->out, "%-9s %-8s %-40s %7llu %7llu %5llu %4llu %5llu %5llu %4llu %7llu %6lld %4llu %4llu\n", lab->ops->name,
            lab->coherent ? "coherent" : "not", w->name, (unsigned long long)c.stores, (unsigned long long)c.lines,
            (unsigned long long)c.writebacks, (unsigned long long)c.cmpxchg, (unsigned long long)c.adds,
            (unsigned long long)c.locks, (unsigned long long)c.fences, (unsigned long long)entries,
            (long long)tables - (long long)tables_before, (unsigned long long)(lab->host.seen.invalidations - inv),
            (unsigned long long)(lab->host.seen.waits - waits));
}

static const char heading[] =
    "# SPDX-License-Identifier: MIT\n"
    "# Exact counts; made by pviommu-bench --counts --update, compared by its test. See docs/bench.md.\n"
    "# stores: to live entries; lines, calls: written back; cas, add, lock: locked instructions; mb: full barriers;\n"
    "# entries: not empty afterwards; tables: pages taken, less those given back; inv, wait: at the unit\n"
    "# format   walks    workload                                  stores   lines calls  cas   add  lock   mb entries tables  inv wait\n";

/* First line that differs, for both tables. */
static int compare(const char *path, const char *text)
{
    char line[512];
    unsigned nr = 0, bad = 0;
    FILE *f = fopen(path, "r");

    if (!f) {
        fprintf(stderr, "pviommu-bench: cannot read %s: make it with --counts --update\n", path);
        return 2;
    }
    while (fgets(line, sizeof(line), f)) {
        size_t len = strcspn(text, "\n");

        nr++;
        line[strcspn(line, "\n")] = '\0';
        if (strlen(line) != len || strncmp(line, text, len) != 0) {
            fprintf(stderr, "%s:%u:\n  kept  %s\n  now   %.*s\n", path, nr, line, (int)len, text);
            bad++;
        }
        text += len + (text[len] == '\n');
    }
    fclose(f);
    if (*text != '\0') {
        fprintf(stderr, "%s: more lines now than are kept\n", path);
        bad++;
    }
    if (bad != 0) {
        fprintf(stderr, "pviommu-bench: %u lines differ. If that is meant: --counts --update %s\n", bad, path);
    }
    return bad != 0;
}

int counts_run(const char *check, const char *update)
{
    static const struct pvi_pt_ops *const formats[] = {&pvi_vtd_ss_ops, &pvi_vtd_fs_ops, &pvi_amdvi_v1_ops,
                                                       &pvi_amdvi_v2_ops};
    struct report r = {NULL, 0, NULL, 0};
    struct lab *lab = memory_object(sizeof(*lab));
    unsigned f, coherent, i;
    int rc = 0;
    FILE *out;

    r.out = open_memstream(&r.text, &r.size);
    need_ok(lab && r.out, "memory");
    fputs(heading, r.out);
    for (f = 0; f < ARRAY_SIZE(formats); f++) {
        for (coherent = 2; coherent-- > 0;) {
            for (i = 0; i < ARRAY_SIZE(workloads); i++) {
                lab->ops = formats[f];
                lab->coherent = coherent != 0;
                measure(&r, lab, &workloads[i]);
            }
        }
    }
    fclose(r.out);
    fputs(r.text, stdout);
    if (update) {
        out = fopen(update, "w");
        rc = out && fputs(r.text, out) >= 0 && fclose(out) == 0 ? 0 : 2;
    } else if (check) {
        rc = compare(check, r.text);
    }
    free(r.text);
    memory_object_free(lab);
    return rc != 0 ? rc : r.broken != 0;
}
