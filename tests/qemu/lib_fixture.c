/* SPDX-License-Identifier: MIT */
/* QEMU, host, unit, domain, devices: up and down (hwspec 1.11, 8.1; AMD-Vi: 6.6, 8.2). */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fw_cfg.h"
#include "lib_fixture.h"

#define RAM_SIZE  (2 * LIB_GIB)
#define POOL_SIZE (64 * LIB_MIB)
#define PA_RO     (224 * LIB_MIB)
#define PA_OWN    (240 * LIB_MIB)
#define PA_SMALL  (512 * LIB_MIB)
#define PA_MEDIUM (768 * LIB_MIB)
#define PA_BIG    LIB_GIB
#define GUEST_ID  1

#define OWN_RINGS 64u /* of LIB_GFN_OWN: bounce pages first, by context */
#define OWN_SRC   80u
#define OWN_DST   96u

#define CAP_NP_CACHE (1u << 26) /* hwspec 6.1 */

/* What firmware of a host may enumerate around the ranges that no table may hold (hwspec 6.11). */
#define GFN_MSI UINT64_C(0xFEDFF)
#define NR_MSI  UINT64_C(0x102)
#define GFN_HT  UINT64_C(0xFCFFFFF)
#define NR_HT   UINT64_C(2)

bool lib_check(struct lib *l, bool ok, const char *format, ...)
{
    va_list ap;

    if (ok)
        return true;
    l->failures++;
    if (l->end_at_failure)
        _exit(LIB_EXIT_FAILED);
    fprintf(stderr, "FAIL %s (%s): ", l->what ? l->what : "?", l->cfg.amd ? "amdvi" : "vtd");
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    return false;
}

bool lib_check_status(struct lib *l, int got, int expected, const char *what)
{
    return lib_check(l, got == expected, "%s: %s, expected: %s", what, pvi_strerror(got),
                     pvi_strerror(expected));
}

/* Guest memory --------------------------------------------------------------------------------- */

static void make_tables(struct lib *l)
{
    uint64_t i;

    l->small_pa = calloc(LIB_NR_SMALL, sizeof(*l->small_pa));
    l->medium_pa = calloc(LIB_NR_MEDIUM, sizeof(*l->medium_pa));
    if (!l->small_pa || !l->medium_pa)
        qt_fatal(l->qt, "out of memory");
    /* Odd factors permute; no two neighbours stay neighbours. */
    for (i = 0; i < LIB_NR_SMALL; i++)
        l->small_pa[i] = PA_SMALL + i * UINT64_C(2654435761) % LIB_NR_SMALL * LIB_PAGE;
    for (i = 0; i < LIB_NR_MEDIUM; i++)
        l->medium_pa[i] = PA_MEDIUM + (i / 512 * 27 + 5) % (LIB_NR_MEDIUM / 512) * 2 * LIB_MIB +
                          i % 512 * LIB_PAGE;
}

uint64_t lib_gfn_pa(const struct lib *l, uint64_t gfn)
{
    if (gfn - LIB_GFN_SAME < LIB_NR_SAME)
        return gfn * LIB_PAGE;
    if (gfn - LIB_GFN_SMALL < LIB_NR_SMALL)
        return l->small_pa[gfn - LIB_GFN_SMALL];
    if (gfn - LIB_GFN_MEDIUM < LIB_NR_MEDIUM)
        return l->medium_pa[gfn - LIB_GFN_MEDIUM];
    if (gfn - LIB_GFN_RO < LIB_NR_RO)
        return PA_RO + (gfn - LIB_GFN_RO) * LIB_PAGE;
    if (gfn - LIB_GFN_OWN < LIB_NR_OWN)
        return PA_OWN + (gfn - LIB_GFN_OWN) * LIB_PAGE;
    if (gfn - LIB_GFN_BIG < LIB_NR_BIG)
        return PA_BIG + (gfn - LIB_GFN_BIG) * LIB_PAGE;
    return 0;
}

uint64_t lib_bounce_gfn(unsigned ctx)
{
    return LIB_GFN_OWN + ctx;
}

static void add_range(struct lib *l, uint64_t gfn, uint64_t nr, const uint64_t *table,
                      enum pvi_posix_kind kind, unsigned prot)
{
    struct pvi_posix_range r = {
        .gfn = gfn,
        .nr = nr,
        .pa = lib_gfn_pa(l, gfn),
        .table = table,
        .kind = (uint8_t)kind,
        .prot = (uint8_t)prot,
    };

    if (kind == PVI_POSIX_MMIO)
        r.pa = gfn * LIB_PAGE;
    if (pvi_posix_hdom_range(l->guest, &r) != 0)
        qt_fatal(l->qt, "guest frames at 0x%" PRIx64 " cannot be added", gfn);
}

static void make_guest(struct lib *l)
{
    static const struct {
        uint64_t gfn, nr;
        uint8_t prot;
    } identity[] = {
        { LIB_GFN_SAME, 0x4000, PVI_RW }, /* 64 MiB */
        { LIB_GFN_SAME + 0x5000, 1, PVI_RW },
        { LIB_GFN_SAME + 0x6000, 512, PVI_READ },
        { LIB_GFN_SAME + 0x6200, 512, PVI_RW },
        { LIB_GFN_SAME + 0x8001, 0x1ffe, PVI_RW },
        { GFN_MSI, NR_MSI, PVI_RW },
        { GFN_HT, NR_HT, PVI_RW },
    };
    size_t i;

    l->guest = pvi_posix_hdom_new(l->host, GUEST_ID);
    if (!l->guest)
        qt_fatal(l->qt, "out of memory");
    add_range(l, LIB_GFN_SAME, LIB_NR_SAME, NULL, PVI_POSIX_RAM_HVM, PVI_RW);
    add_range(l, LIB_GFN_SMALL, LIB_NR_SMALL, l->small_pa, PVI_POSIX_RAM_PV, PVI_RW);
    add_range(l, LIB_GFN_MEDIUM, LIB_NR_MEDIUM, l->medium_pa, PVI_POSIX_RAM_HVM, PVI_RW);
    add_range(l, LIB_GFN_RO, LIB_NR_RO, NULL, PVI_POSIX_RAM_PV, PVI_READ);
    add_range(l, LIB_GFN_OWN, LIB_NR_OWN, NULL, PVI_POSIX_RAM_KEPT, PVI_RW);
    add_range(l, LIB_GFN_BIG, LIB_NR_BIG, NULL, PVI_POSIX_RAM_HVM, PVI_RW);
    add_range(l, GFN_MSI, NR_MSI, NULL, PVI_POSIX_MMIO, PVI_RW);
    add_range(l, GFN_HT, NR_HT, NULL, PVI_POSIX_MMIO, PVI_RW);
    for (i = 0; i < sizeof(identity) / sizeof(identity[0]); i++) {
        if (pvi_posix_hdom_identity(l->guest, identity[i].gfn, identity[i].nr, identity[i].prot))
            qt_fatal(l->qt, "identity run %zu cannot be added", i);
    }
}

/* Up ------------------------------------------------------------------------------------------- */

static void open_devices(struct lib *l)
{
    unsigned i;
    bool ok;

    for (i = 0; i < l->nr_devs; i++) {
        struct lib_dev *d = &l->dev[i];

        if (i < LIB_NIC0) {
            ok = qt_edu_open(l->qt, i, &d->edu);
            d->rid = d->edu.bdf;
        } else {
            ok = qt_nic_open(l->qt, i - LIB_NIC0, &d->nic);
            d->rid = d->nic.bdf;
        }
        if (!ok)
            qt_fatal(l->qt, "device %u is not on bus 0", i);
    }
}

void lib_start_machine(struct lib *l, const struct lib_config *cfg)
{
    const char *const devices[] = { QT_DEV_EDU, QT_DEV_EDU, cfg->nics ? QT_DEV_E1000 : NULL,
                                    QT_DEV_E1000, NULL };
    const struct qt_config config = {
        .iommu = cfg->amd ? QT_IOMMU_AMD : QT_IOMMU_VTD,
        .aw_bits = cfg->aw_bits,
        .caching_mode = cfg->caching_mode,
        .devices = devices,
        .trace = cfg->trace,
        .ram_size = RAM_SIZE,
        .timeout_s = 20,
    };
    struct pvi_posix_cfg host = { .size = RAM_SIZE };
    enum qt_status status;

    memset(l, 0, sizeof(*l));
    l->cfg = *cfg;
    l->nr_devs = cfg->nics ? LIB_DEVS : LIB_NIC0;
    status = qt_start(&l->qt, &config);
    if (status == QT_ABSENT) {
        puts("skip: no QEMU; install qemu-system-x86 or set QEMU to a qemu-system-x86_64");
        exit(QT_EXIT_SKIP);
    }
    if (status != QT_OK)
        exit(EXIT_FAILURE);
    l->pages_size = POOL_SIZE;
    l->pages_pa = qt_alloc(l->qt, POOL_SIZE, 2 * LIB_MIB);
    host.mem = qt_ptr(l->qt, 0, RAM_SIZE);
    host.pages_first = l->pages_pa;
    host.pages_size = l->pages_size;
    l->host = pvi_posix_new(&host);
    if (!l->host)
        qt_fatal(l->qt, "the host does not start");
    make_tables(l);
    open_devices(l);
}

/* Is the function among the unit's, or is the unit everybody's? */
static bool in_scope(const struct pvi_dmar_item *item, uint16_t rid)
{
    struct pvi_dmar_scope scope;
    uint16_t at = 0;
    bool found = item->flags & PVI_DMAR_INCLUDE_ALL;

    while (!found && pvi_dmar_scope_next(item, &at, &scope) == 1)
        found = scope.type == PVI_DMAR_SCOPE_ENDPOINT && scope.bus == rid >> 8 && scope.hops == 1 &&
                scope.path[0] == (rid >> 3 & 31) && scope.path[1] == (rid & 7);
    return found;
}

static void start_vtd(struct lib *l)
{
    uint8_t table[4096];
    size_t len = qt_acpi_table(l->qt, "DMAR", table, sizeof(table));
    struct pvi_vtd_cfg cfg = { 0 };
    struct pvi_dmar_item item;
    struct pvi_dmar dmar;
    uint32_t at = 0;
    unsigned i;

    lib_check_status(l, pvi_dmar_open(&dmar, table, len), 0, "DMAR");
    while (cfg.reg_pa == 0 && pvi_dmar_next(&dmar, &at, &item) == 1) {
        if (item.type == PVI_DMAR_DRHD && item.segment == 0) {
            cfg.reg_pa = item.base;
            cfg.reg_size = item.size;
            cfg.haw_bits = dmar.haw_bits;
            for (i = 0; i < l->nr_devs; i++)
                lib_check(l, in_scope(&item, l->dev[i].rid), "%04x is not the unit's",
                          l->dev[i].rid);
        }
    }
    l->np_cache = l->cfg.caching_mode;
    lib_check(l, cfg.reg_pa == QT_VTD_BASE, "DRHD says unit at 0x%" PRIx64, cfg.reg_pa);
    lib_tap_init(&l->tap, l->qt, false, l->host, cfg.reg_pa);
    lib_check_status(l, pvi_vtd_unit_init(&l->vtd, l->host, &cfg), 0, "unit init");
    l->unit = &l->vtd.unit;
    if (pvi_posix_add_vtd(l->host, &l->vtd) != 0)
        qt_fatal(l->qt, "the host takes no unit");
    lib_check_status(l, pvi_vtd_unit_enable(&l->vtd), 0, "unit enable");
}

/* The same for AMD-Vi. */
static bool covers(const struct pvi_ivrs_ivhd *ivhd, uint16_t rid)
{
    struct pvi_ivrs_dev dev;
    uint32_t pos = 0;
    bool found = false;

    while (!found && pvi_ivrs_dev_next(ivhd, &pos, &dev) == 1)
        found = dev.kind == PVI_IVRS_DEV_RANGE && dev.first <= rid && rid <= dev.last;
    return found;
}

static void start_amdvi(struct lib *l)
{
    uint8_t table[4096];
    size_t len = qt_acpi_table(l->qt, "IVRS", table, sizeof(table));
    struct pvi_amdvi_cfg cfg = { 0 };
    struct pvi_ivrs_block block;
    struct pvi_ivrs ivrs;
    uint32_t pos = 0, header;
    unsigned i;

    lib_check_status(l, pvi_ivrs_open(&ivrs, table, len), 0, "IVRS");
    while (cfg.reg_pa == 0 && pvi_ivrs_next(&ivrs, &pos, &block) == 1) {
        if (!block.is_ivhd || !pvi_ivrs_preferred(&ivrs, &block.ivhd))
            continue;
        for (i = 0; i < l->nr_devs; i++)
            lib_check(l, covers(&block.ivhd, l->dev[i].rid), "%04x is not the unit's",
                      l->dev[i].rid);
        header = qt_pci_read32(l->qt, block.ivhd.rid, block.ivhd.cap_offset);
        l->np_cache = header & CAP_NP_CACHE;
        pvi_amdvi_cfg_from_ivhd(&cfg, &ivrs, &block.ivhd, header);
    }
    lib_check(l, cfg.reg_pa == QT_AMD_BASE, "IVHD says unit at 0x%" PRIx64, cfg.reg_pa);
    lib_tap_init(&l->tap, l->qt, true, l->host, cfg.reg_pa);
    lib_check_status(l, pvi_amdvi_unit_init(&l->amdvi, l->host, &cfg), 0, "unit init");
    l->unit = &l->amdvi.unit;
    if (pvi_posix_add_amdvi(l->host, &l->amdvi) != 0)
        qt_fatal(l->qt, "the host takes no unit");
    lib_check_status(l, pvi_amdvi_unit_enable(&l->amdvi), 0, "unit enable");
}

void lib_start_unit(struct lib *l)
{
    if (l->cfg.amd)
        start_amdvi(l);
    else
        start_vtd(l);
    if (l->cfg.pa_bits)
        l->unit->caps.pa_bits = (uint8_t)l->cfg.pa_bits;
    lib_check_status(l, pvi_system_add_unit(&l->sys, l->unit), 0, "system");
}

static void add_device(struct lib *l, struct lib_dev *d)
{
    d->dev.sbdf.v = d->rid;
    d->dev.unit = l->unit;
    d->dev.rid[0] = d->rid;
    d->dev.nr_rids = 1;
    d->added = lib_check_status(l, pvi_device_add(&l->dom, &d->dev), 0, "device add");
}

void lib_start_domain(struct lib *l)
{
    struct pvi_domain_cfg cfg = {
        .system = &l->sys,
        .max_contexts = LIB_CONTEXTS,
        .max_pages = LIB_PAGES,
        .default_pages = 512,
        .iova_bits = (uint8_t)l->cfg.iova_bits,
        .trim = l->cfg.trim,
        .default_identity = l->cfg.default_identity,
    };
    struct pvi_op op = lib_op(PVI_OP_INIT, 0, 0);
    unsigned i;
    int rc;

    make_guest(l);
    l->identity[0] = l->cfg.default_identity;
    cfg.hdom = l->guest;
    lib_check_status(l, pvi_domain_init(&l->dom, l->host, &cfg), 0, "domain init");
    pvi_posix_hdom_bind(l->guest, &l->dom);
    do {
        rc = pvi_domain_start(&l->dom);
    } while (rc == -PVI_EPREEMPTED);
    lib_check_status(l, rc, 0, "domain start");
    for (i = 0; i < l->nr_devs; i++) {
        add_device(l, &l->dev[i]);
        lib_moved(l, &l->dev[i], 0);
    }
    op.u.init.nr_contexts = l->cfg.contexts ? l->cfg.contexts : LIB_CONTEXTS;
    op.u.init.nr_pages = LIB_PAGES;
    lib_submit(l, &op, 1);
    lib_check_status(l, op.status, 0, "init");
}

void lib_start(struct lib *l, const struct lib_config *cfg)
{
    lib_start_machine(l, cfg);
    lib_start_unit(l);
    lib_start_domain(l);
}

/* Down ----------------------------------------------------------------------------------------- */

void lib_stop_domain(struct lib *l)
{
    unsigned i;
    int rc;

    pvi_domain_kill(&l->dom);
    for (i = 0; i < l->nr_devs; i++) {
        if (l->dev[i].added)
            lib_check_status(l, pvi_device_remove(&l->dom, &l->dev[i].dev), 0, "device remove");
        l->dev[i].added = false;
    }
    do {
        rc = pvi_domain_destroy(&l->dom);
    } while (rc == -PVI_EPREEMPTED);
    lib_check_status(l, rc, 0, "domain destroy");
}

void lib_stop_unit(struct lib *l)
{
    lib_check_status(l,
                     l->cfg.amd ? pvi_amdvi_unit_disable(&l->amdvi) : pvi_vtd_unit_disable(&l->vtd),
                     0, "unit disable");
    pvi_posix_remove_unit(l->host, l->unit);
    memset(&l->sys, 0, sizeof(l->sys));
}

void lib_stop_machine(struct lib *l)
{
    const char *why = "";

    pvi_posix_check_all(l->host);
    lib_check(l, pvi_posix_events(l->host, NULL) == 0, "the library reported trouble");
    lib_check(l, pvi_posix_balanced(l->host, &why), "left over: %s", why ? why : "");
    pvi_posix_free(l->host);
    qt_stop(l->qt);
    free(l->small_pa);
    free(l->medium_pa);
    l->small_pa = NULL;
    l->medium_pa = NULL;
}

void lib_stop(struct lib *l)
{
    lib_stop_domain(l);
    lib_stop_unit(l);
    lib_stop_machine(l);
}

/* Faults --------------------------------------------------------------------------------------- */

bool lib_next_fault(struct lib *l, struct pvi_fault *f)
{
    int rc =
        l->cfg.amd ? pvi_amdvi_unit_next_fault(&l->amdvi, f) : pvi_vtd_unit_next_fault(&l->vtd, f);

    lib_check(l, rc >= 0, "reading faults: %s", pvi_strerror(rc));
    return rc == 1;
}

void lib_drop_faults(struct lib *l)
{
    struct pvi_fault f;

    while (lib_next_fault(l, &f))
        continue;
}

/* The fixture's own pages ---------------------------------------------------------------------- */

unsigned lib_own_ops(const struct lib *l, unsigned ctx, struct pvi_op ops[8])
{
    unsigned nr = 0, i;

    ops[nr++] = lib_op_map(ctx, LIB_BOUNCE_IOVA, lib_bounce_gfn(ctx), 1, PVI_RW);
    if (!l->cfg.nics)
        return nr;
    for (i = 0; i < 2; i++) {
        ops[nr++] = lib_op_map(ctx, LIB_TX_IOVA(i), LIB_GFN_OWN + OWN_RINGS + 2 * i, 1, PVI_RW);
        ops[nr++] = lib_op_map(ctx, LIB_RX_IOVA(i), LIB_GFN_OWN + OWN_RINGS + 2 * i + 1, 1, PVI_RW);
    }
    ops[nr++] = lib_op_map(ctx, LIB_SRC_IOVA, LIB_GFN_OWN + OWN_SRC, 1, PVI_READ);
    ops[nr++] = lib_op_map(ctx, LIB_DST_IOVA, LIB_GFN_OWN + OWN_DST, LIB_DST_PAGES, PVI_WRITE);
    return nr;
}

void lib_moved(struct lib *l, struct lib_dev *dev, unsigned ctx)
{
    uint64_t pa = lib_gfn_pa(l, LIB_GFN_SAME);

    dev->ctx = (uint16_t)ctx;
    if (dev >= &l->dev[LIB_NIC0])
        return;
    if (l->identity[ctx])
        qt_edu_set_bounce(&dev->edu, pa, pa);
    else if (ctx != 0)
        qt_edu_set_bounce(&dev->edu, LIB_BOUNCE_IOVA, lib_gfn_pa(l, lib_bounce_gfn(ctx)));
    else
        qt_edu_no_bounce(&dev->edu);
}

void lib_nic_up(struct lib *l, struct lib_dev *dev)
{
    unsigned nic = (unsigned)(dev - &l->dev[LIB_NIC0]);
    uint64_t gfn = LIB_GFN_OWN + OWN_RINGS + 2 * nic;

    dev->nic_up = qt_nic_init(&dev->nic, LIB_TX_IOVA(nic), lib_gfn_pa(l, gfn), LIB_RX_IOVA(nic),
                              lib_gfn_pa(l, gfn + 1));
    lib_check(l, dev->nic_up, "network device %u does not reach its rings", nic);
}
