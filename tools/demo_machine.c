/* SPDX-License-Identifier: MIT */
/* Brings QEMU up, hands its RAM and registers to the library, and one guest with two devices. */
#include "demo.h"
#include <stdio.h>
#include <string.h>

#define RAM_SIZE (2048ull << 20)
#define PAGES_FIRST (64ull << 20) /* the library's pages: 64 MiB .. 128 MiB */
#define PAGES_SIZE (64ull << 20)
#define REG_WINDOW 0x4000u

static uint32_t mmio_read32(void *qt, uint64_t pa)
{
    return qt_read32(qt, pa);
}

static uint64_t mmio_read64(void *qt, uint64_t pa)
{
    return qt_read64(qt, pa);
}

static void mmio_write32(void *qt, uint64_t pa, uint32_t value)
{
    qt_write32(qt, pa, value);
}

static void mmio_write64(void *qt, uint64_t pa, uint64_t value)
{
    qt_write64(qt, pa, value);
}

static int start_qemu(struct demo *d)
{
    static const char *const devices[] = {QT_DEV_EDU, QT_DEV_EDU, NULL};
    static const char *const trace[] = {"vtd_inv_desc*", "amdvi_*inval*", NULL};
    struct qt_config config = {.iommu = d->amd ? QT_IOMMU_AMD : QT_IOMMU_VTD,
                               .devices = devices,
                               .trace = trace,
                               .ram_size = RAM_SIZE};
    enum qt_status status = qt_start(&d->qt, &config);

    if (status == QT_ABSENT) {
        fprintf(stderr, "no qemu-system-x86_64: install it (scripts/setup), or name another in $QEMU\n");
        return QT_EXIT_SKIP;
    }
    if (status != QT_OK || !qt_edu_open(d->qt, 0, &d->edu[0]) || !qt_edu_open(d->qt, 1, &d->edu[1])) {
        return 1;
    }
    return 0;
}

static int start_unit(struct demo *d)
{
    uint64_t base = d->amd ? QT_AMD_BASE : QT_VTD_BASE;
    struct pvi_posix_mmio mmio = {mmio_read32, mmio_read64, mmio_write32, mmio_write64, d->qt};
    struct pvi_vtd_cfg vtd = {.reg_pa = base, .reg_size = 0x1000, .haw_bits = 48};
    struct pvi_amdvi_cfg amdvi = {.reg_pa = base, .efr_sup = true, .pa_bits = 48};
    int rc = pvi_posix_mmio(d->host, base, base + REG_WINDOW - 1, &mmio);

    if (rc == 0 && d->amd) {
        rc = pvi_amdvi_unit_init(&d->amdvi, d->host, &amdvi);
        rc = rc == 0 ? pvi_posix_add_amdvi(d->host, &d->amdvi) : rc;
        rc = rc == 0 ? pvi_amdvi_unit_enable(&d->amdvi) : rc;
        rc = rc == 0 ? pvi_system_add_unit(&d->machine, &d->amdvi.unit) : rc;
    } else if (rc == 0) {
        rc = pvi_vtd_unit_init(&d->vtd, d->host, &vtd);
        rc = rc == 0 ? pvi_posix_add_vtd(d->host, &d->vtd) : rc;
        rc = rc == 0 ? pvi_vtd_unit_enable(&d->vtd) : rc;
        rc = rc == 0 ? pvi_system_add_unit(&d->machine, &d->vtd.unit) : rc;
    }
    return rc;
}

static int start_guest(struct demo *d)
{
    uint64_t first = DEMO_RAM_FIRST >> PVI_PAGE_LG2, nr = (RAM_SIZE - DEMO_RAM_FIRST) >> PVI_PAGE_LG2;
    struct pvi_posix_range ram = {
        .gfn = first, .nr = nr, .pa = DEMO_RAM_FIRST, .kind = PVI_POSIX_RAM_PV, .prot = PVI_RW};
    struct pvi_domain_cfg cfg = {
        .hdom = d->owner, .system = &d->machine, .max_contexts = 8, .max_pages = 4096};
    unsigned i;
    int rc = pvi_posix_hdom_range(d->owner, &ram);

    rc = rc == 0 ? pvi_posix_hdom_identity(d->owner, first, nr, PVI_RW) : rc;
    rc = rc == 0 ? pvi_domain_init(&d->guest, d->host, &cfg) : rc;
    for (i = 0; i < 2 && rc == 0; i++) {
        d->dev[i].sbdf.v = d->edu[i].bdf;
        d->dev[i].unit = d->machine.unit[0];
        d->dev[i].rid[0] = d->edu[i].bdf;
        d->dev[i].nr_rids = 1;
        rc = pvi_device_add(&d->guest, &d->dev[i]);
        qt_edu_set_bounce(&d->edu[i], DEMO_BOUNCE_DFN << PVI_PAGE_LG2, DEMO_RAM_FIRST + i * PVI_PAGE_SIZE);
    }
    return rc;
}

int demo_start(struct demo *d, bool amd)
{
    struct pvi_posix_cfg memory = {.size = RAM_SIZE, .pages_first = PAGES_FIRST, .pages_size = PAGES_SIZE};
    json_t *rows = d->rows;
    int rc;

    memset(d, 0, sizeof(*d));
    d->rows = rows;
    d->amd = amd;
    rc = start_qemu(d);
    if (rc != 0) {
        return rc;
    }
    memory.mem = qt_ptr(d->qt, 0, RAM_SIZE);
    d->host = pvi_posix_new(&memory);
    d->owner = d->host ? pvi_posix_hdom_new(d->host, 1) : NULL;
    rc = d->owner ? start_unit(d) : -PVI_ENOMEM;
    rc = rc == 0 ? start_guest(d) : rc;
    if (rc != 0) {
        fprintf(stderr, "bring-up failed: %s\n", pvi_strerror(rc));
        return 1;
    }
    return 0;
}

void demo_stop(struct demo *d)
{
    if (d->owner) {
        pvi_posix_hdom_free(d->owner);
    }
    if (d->host) {
        pvi_posix_free(d->host);
    }
    qt_stop(d->qt);
}
