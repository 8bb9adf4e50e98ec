/* SPDX-License-Identifier: MIT */
/*
 * AMD-Vi device table: entries and how they change (48882 2.2.2, hwspec 6.7, 6.8, section 10 item
 * 23).
 *
 * Hardware reads an entry of 256 bits as one, a CPU writes 128 bits at most. Everything that
 * decides where an untranslated DMA goes (V, TV, mode, root, rights, domain id) lies in the low
 * half, so one 128-bit store switches it: a unit that reads the entry at any moment sees the old
 * triple of root, mode and domain id or the new one, never a mixture (R3, R11). There is no moment
 * with V clear either: V = 0 lets DMA pass untranslated, so clearing first and filling then, the
 * usual order elsewhere, would open memory to the device. The upper half belongs to whoever remaps
 * interrupts. Of it only GuestPagingMode is written, by compare and swap of its qword, and only
 * while the lower half says that no v2 table is in use (GV = 0): between v2 tables of different
 * depths the unit driver makes such a moment, with the entry blocked.
 */
#include "devtab.h"

#define DTE_QWORDS   (AMDVI_DTE_BYTES / 8u)
#define DTE_PER_PAGE ((unsigned)(PVI_PAGE_SIZE / AMDVI_DTE_BYTES))

/* What a switch of the translation keeps of w1: it says how the host treats the device, not where
 * its DMA goes. */
#define DTE_W1_KEEP                                                                                \
    (AMDVI_DTE_SE | AMDVI_DTE_SA | AMDVI_DTE_IOCTL | AMDVI_DTE_CACHE | AMDVI_DTE_SD |              \
     AMDVI_DTE_SYSMGT)

static uint64_t field_put(uint64_t value, unsigned low, unsigned width)
{
    return (value & AMDVI_MASK(width - 1u, 0u)) << low;
}

static uint16_t field_get(uint64_t w, unsigned low, unsigned width)
{
    return (uint16_t)((w >> low) & AMDVI_MASK(width - 1u, 0u));
}

void pvi_amdvi_dte_encode(const struct pvi_amdvi_dte *dte, uint64_t w[4])
{
    w[0] = dte->root.a & AMDVI_DTE_ROOT;
    w[0] |= field_put(dte->gcr3.a >> 12, AMDVI_DTE_GCR3_A_LO, 3);
    w[1] = field_put(dte->gcr3.a >> 15, AMDVI_DTE_GCR3_B_LO, 16);
    w[1] |= field_put(dte->gcr3.a >> 31, AMDVI_DTE_GCR3_C_LO, 21);
    w[2] = dte->intr_root.a & AMDVI_DTE_INTR_ROOT;
    w[3] = 0;
#define DTE_PUT(name, word, low, width) w[word] |= field_put(dte->name, low, width);
    PVI_AMDVI_DTE_FIELDS(DTE_PUT)
#undef DTE_PUT
}

void pvi_amdvi_dte_decode(const uint64_t w[4], struct pvi_amdvi_dte *dte)
{
    dte->root.a = w[0] & AMDVI_DTE_ROOT;
    dte->gcr3.a = ((w[0] & AMDVI_DTE_GCR3_A) >> AMDVI_DTE_GCR3_A_LO << 12) |
                  ((w[1] & AMDVI_DTE_GCR3_B) >> AMDVI_DTE_GCR3_B_LO << 15) |
                  ((w[1] & AMDVI_DTE_GCR3_C) >> AMDVI_DTE_GCR3_C_LO << 31);
    dte->intr_root.a = w[2] & AMDVI_DTE_INTR_ROOT;
#define DTE_GET(name, word, low, width) dte->name = field_get(w[word], low, width);
    PVI_AMDVI_DTE_FIELDS(DTE_GET)
#undef DTE_GET
}

void pvi_amdvi_dte_switch(const uint64_t old[2], const struct pvi_dev_entry *to, uint64_t w[2])
{
    w[0] = AMDVI_DTE_BLOCK;
    w[1] = old[1] & DTE_W1_KEEP;
    if (to->translate) {
        /* The DTE's rights are ANDed with those of the table: the table decides (hwspec 6.9). */
        w[0] |= (to->root.a & AMDVI_DTE_ROOT) | ((uint64_t)to->levels << AMDVI_DTE_MODE_LO) |
                AMDVI_DTE_IR | AMDVI_DTE_IW;
        w[1] |= to->did;
    }
}

static void guest_mode_store(struct pvi_host *h, uint64_t *w2, uint64_t mode)
{
    uint64_t old;

    /*
     * Whoever remaps interrupts may write other fields at any moment: each turn lost is one of his.
     */
    do {
        old = pvi_env_read64(w2);
    } while (!pvi_env_cmpxchg64(h, w2, old, (old & ~AMDVI_DTE_GUEST) | mode));
}

int pvi_amdvi_dte_put(struct pvi_host *h, uint64_t *entry, const struct pvi_amdvi_dte *to)
{
    uint64_t old[2], w[4], mode;
    bool guest;

    /* With mode 0 and no GIoV requests without PASID would pass untranslated (hwspec 6.7). */
    if (!to->v || !to->tv || (to->mode == 0 && (to->ir || to->iw) && !(to->gv && to->giov))) {
        return -PVI_EINVAL;
    }
    pvi_amdvi_dte_encode(to, w);
    old[0] = pvi_env_read64(&entry[0]);
    old[1] = pvi_env_read64(&entry[1]);
    w[1] |= old[1] & DTE_W1_KEEP;
    mode = w[2] & AMDVI_DTE_GUEST;
    guest = (old[0] & AMDVI_DTE_V) != 0 && (old[0] & AMDVI_DTE_GV) != 0;
    if (to->gv && guest && (pvi_env_read64(&entry[2]) & AMDVI_DTE_GUEST) != mode) {
        return -PVI_EBUSY;
    }
    /*
     * Upper half first: when the lower one makes v2 tables effective the unit already finds the
     * right depth, and until then it does not look at it (hwspec 6.8).
     */
    if (to->gv && !guest) {
        guest_mode_store(h, &entry[2], mode);
        pvi_env_writeback(h, &entry[2], 8);
    }
    if (!pvi_env_cmpxchg128(h, entry, old, w)) {
        return -PVI_EHW;
    }
    pvi_env_writeback(h, entry, 16);
    return 0;
}

static pvi_pa devtab_page(pvi_pa table, unsigned page)
{
    pvi_pa pa;

    pa.a = table.a + (uint64_t)page * PVI_PAGE_SIZE;
    return pa;
}

void pvi_amdvi_devtab_fill(struct pvi_host *h, pvi_pa table)
{
    unsigned page, i;
    uint64_t *entries;

    for (page = 0; page < AMDVI_DEV_TAB_PAGES; page++) {
        entries = pvi_env_map(h, devtab_page(table, page));
        memset(entries, 0, (size_t)PVI_PAGE_SIZE);
        for (i = 0; i < DTE_PER_PAGE; i++) {
            entries[i * DTE_QWORDS] = AMDVI_DTE_BLOCK;
        }
        pvi_env_writeback(h, entries, (size_t)PVI_PAGE_SIZE);
        pvi_env_unmap(h, entries);
    }
}

void pvi_amdvi_devtab_scrub(struct pvi_host *h, pvi_pa table)
{
    unsigned page;
    void *entries;

    for (page = 0; page < AMDVI_DEV_TAB_PAGES; page++) {
        entries = pvi_env_map(h, devtab_page(table, page));
        memset(entries, 0, (size_t)PVI_PAGE_SIZE);
        pvi_env_unmap(h, entries);
    }
}

/*
 * Control.Coherent speaks of table walks only, so the entry is written back as well: one source
 * does so, and an entry changes too rarely for the cost to matter (hwspec 9.3).
 */
static bool dte_store(struct pvi_host *h, uint64_t *entry, const struct pvi_dev_entry *to)
{
    uint64_t old[2], w[2];

    old[0] = pvi_env_read64(&entry[0]);
    old[1] = pvi_env_read64(&entry[1]);
    pvi_amdvi_dte_switch(old, to, w);
    if (old[0] == w[0] && old[1] == w[1]) {
        return true;
    }
    if (!pvi_env_cmpxchg128(h, entry, old, w)) {
        return false;
    }
    pvi_env_writeback(h, entry, 16);
    return true;
}

int pvi_amdvi_devtab_switch(struct pvi_host *h, pvi_pa table, uint16_t rid,
                            const struct pvi_dev_entry *to)
{
    uint64_t *entries;
    bool done;

    entries = pvi_env_map(h, devtab_page(table, rid / DTE_PER_PAGE));
    done = dte_store(h, &entries[rid % DTE_PER_PAGE * DTE_QWORDS], to);
    pvi_env_unmap(h, entries);
    return done ? 0 : -PVI_EHW;
}

int pvi_amdvi_devtab_put(struct pvi_host *h, pvi_pa table, uint16_t rid,
                         const struct pvi_amdvi_dte *to)
{
    uint64_t *entries = pvi_env_map(h, devtab_page(table, rid / DTE_PER_PAGE));
    int rc = pvi_amdvi_dte_put(h, &entries[rid % DTE_PER_PAGE * DTE_QWORDS], to);

    pvi_env_unmap(h, entries);
    return rc;
}

void pvi_amdvi_devtab_get(struct pvi_host *h, pvi_pa table, uint16_t rid, struct pvi_amdvi_dte *out)
{
    uint64_t *entries = pvi_env_map(h, devtab_page(table, rid / DTE_PER_PAGE));
    uint64_t w[DTE_QWORDS];
    unsigned i;

    for (i = 0; i < DTE_QWORDS; i++) {
        w[i] = pvi_env_read64(&entries[rid % DTE_PER_PAGE * DTE_QWORDS + i]);
    }
    pvi_env_unmap(h, entries);
    pvi_amdvi_dte_decode(w, out);
}

int pvi_amdvi_devtab_block(struct pvi_host *h, pvi_pa table)
{
    struct pvi_dev_entry to;
    unsigned page, i;
    uint64_t *entries;
    bool done = true;

    memset(&to, 0, sizeof(to));
    for (page = 0; page < AMDVI_DEV_TAB_PAGES; page++) {
        entries = pvi_env_map(h, devtab_page(table, page));
        for (i = 0; i < DTE_PER_PAGE; i++) {
            done = dte_store(h, &entries[i * DTE_QWORDS], &to) && done;
        }
        pvi_env_unmap(h, entries);
    }
    return done ? 0 : -PVI_EHW;
}
