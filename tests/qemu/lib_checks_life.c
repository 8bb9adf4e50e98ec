/* SPDX-License-Identifier: MIT */
/* Devices moved, contexts freed, identity, the unit's own life (R9, R10, R13, R22). */
#include <inttypes.h>
#include <string.h>

#include "lib_checks.h"

#define MSI_FIRST  UINT64_C(0xFEE00000) /* hwspec 6.11 */
#define MSI_LAST   UINT64_C(0xFEEFFFFF)
#define HT_FIRST   UINT64_C(0xFD00000000)
#define HT_LAST    UINT64_C(0xFFFFFFFFFF)
#define VTD_FEADDR 0x40u /* hwspec 1.1: a register that any value may be written to */
#define AMD_EXCL   0x28u /* hwspec 6.2: exclusion limit, without effect while the base is off */

void lib_check_reattach(struct lib *l)
{
    uint64_t at = lib_high(l), to_a = pa_of(l, SMALL(40)), to_b = pa_of(l, SMALL(41));
    unsigned a = lib_context_with(l, LIB_E0), b = lib_context(l), turn;

    lib_must_map(l, a, at, SMALL(40), 1, PVI_RW);
    lib_must_map(l, a, at + LIB_PAGE, SMALL(42), 1, PVI_RW);
    lib_must_map(l, b, at, SMALL(41), 1, PVI_RW);
    for (turn = 0; turn < 3; turn++) {
        lib_lands(l, LIB_E0, at, to_a, LIB_RW);
        lib_lands(l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(42)), LIB_RW);
        lib_must_reattach(l, b, LIB_E0);
        lib_lands(l, LIB_E0, at, to_b, LIB_RW);
        lib_blocked(l, LIB_E0, at + LIB_PAGE, pa_of(l, SMALL(42)), LIB_RW);
        lib_must_reattach(l, a, LIB_E0);
    }
    lib_lands(l, LIB_E0, at, to_a, LIB_RW);
    /* Back to the default context, which blocks; its table is walked, so reason 5. */
    lib_must_reattach(l, 0, LIB_E0);
    lib_blocked(l, LIB_E0, at, to_a, LIB_W);
    lib_blocked(l, LIB_E0, LIB_BOUNCE_IOVA, pa_of(l, lib_bounce_gfn(a)), LIB_W);
    lib_blocked_everywhere(l, LIB_E0, at, to_a, a);
    lib_must_reattach(l, a, LIB_E0);
    lib_lands(l, LIB_E0, at, to_a, LIB_RW);
    lib_clear(l);
}

void lib_check_free(struct lib *l)
{
    uint64_t at = lib_high(l);
    unsigned a = lib_context_with(l, LIB_E0), again;

    lib_must_reattach(l, a, LIB_E1);
    lib_must_map(l, a, at, SMALL(50), 1, PVI_RW);
    lib_must_map(l, a, at + LIB_GIB, MEDIUM(10), 512, PVI_RW);
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(50)), LIB_RW);
    lib_lands(l, LIB_E1, at + LIB_GIB, pa_of(l, MEDIUM(10)), LIB_RW);
    lib_check_status(l, lib_free(l, a, 0), -PVI_EBUSY, "free with devices attached");
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(50)), LIB_RW);
    lib_check_status(l, lib_free(l, a, PVI_FREE_REATTACH), 0, "free and reattach");
    lib_check(l, pvi_posix_frame_count(l->guest, pa_of(l, SMALL(50)), PVI_OWE_WRITABLE) == 0,
              "a frame of the freed context is still referenced");
    lib_blocked(l, LIB_E0, at, pa_of(l, SMALL(50)), LIB_W);
    lib_blocked(l, LIB_E1, at + LIB_GIB, pa_of(l, MEDIUM(10)), LIB_W);
    lib_check_status(l, lib_map(l, a, at, SMALL(51), 1, PVI_RW), -PVI_ENOCTX,
                     "map in a freed context");
    /* The number is used again; nothing of the earlier life shows. */
    again = lib_context_with(l, LIB_E0);
    lib_check(l, again == a, "context %u instead of %u", again, a);
    lib_blocked(l, LIB_E0, at, pa_of(l, SMALL(50)), LIB_RW);
    lib_blocked(l, LIB_E0, at + LIB_GIB, pa_of(l, MEDIUM(10)), LIB_RW);
    lib_must_map(l, again, at, SMALL(52), 1, PVI_RW);
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(52)), LIB_RW);
    lib_must_reattach(l, again, LIB_E1);
    lib_blocked(l, LIB_E1, at + LIB_GIB, pa_of(l, MEDIUM(10)), LIB_RW);
    lib_clear(l);
}

/* Identity ------------------------------------------------------------------------------------- */

struct leaf_sum {
    struct lib *l;
    uint64_t pages, wrong;
};

/* Every leaf of an identity table leads where it lies, and to nothing that nobody may reach. */
static void sum_leaf(void *ctx, const struct hwm_leaf *leaf)
{
    struct leaf_sum *sum = ctx;
    uint64_t first = leaf->iova, last = leaf->iova + ((UINT64_C(1) << leaf->lg2) - 1);
    const struct lib *l = sum->l;

    sum->pages += UINT64_C(1) << (leaf->lg2 - 12);
    if (leaf->pa != leaf->iova || (first <= MSI_LAST && last >= MSI_FIRST) ||
        (l->cfg.amd && first <= HT_LAST && last >= HT_FIRST) ||
        (first < l->pages_pa + l->pages_size && last >= l->pages_pa) ||
        (first <= QT_VTD_BASE && last >= QT_VTD_BASE) ||
        (first <= QT_AMD_BASE && last >= QT_AMD_BASE))
        sum->wrong++;
}

/* What the fixture's host enumerates, less MSI and HyperTransport, in pages. */
static uint64_t identity_pages(const struct lib *l)
{
    uint64_t ram = 0x4000 + 1 + 512 + 512 + 0x1ffe, msi = 2;
    uint64_t ht = l->cfg.amd ? 1 : 2; /* one page below HT_FIRST, one in it */

    if (lib_iova_bits(l) <= 39)
        ht = 0; /* out of reach */
    return ram + msi + ht;
}

/* A register does not change, whatever the device writes at its address. */
static void check_registers(struct lib *l)
{
    uint64_t reg = l->cfg.amd ? QT_AMD_BASE + AMD_EXCL : QT_VTD_BASE + VTD_FEADDR;
    uint8_t junk[8] = { 0, 0x10, 0x20, 0x30, 0, 0, 0, 0 };
    uint64_t before = qt_read64(l->qt, reg);

    qt_edu_write(&LIB_E0->edu, reg, junk, l->cfg.amd ? 8 : 4);
    lib_check(l, qt_read64(l->qt, reg) == before, "a device reached the unit's registers");
    lib_fault_is(l, LIB_FAULT_WRITE, LIB_E0, reg);
    lib_drop_faults(l);
}

/* The same for memory that must not be written to even by the check. */
static void check_unreachable(struct lib *l, uint64_t at)
{
    uint8_t junk[64], before[64], *now = qt_ptr(l->qt, at, sizeof(before));

    memset(junk, 0xA5, sizeof(junk));
    memcpy(before, now, sizeof(before));
    qt_edu_write(&LIB_E0->edu, at, junk, sizeof(junk));
    lib_check(l, memcmp(now, before, sizeof(before)) == 0,
              "a device reached the hypervisor's memory at 0x%" PRIx64, at);
    memcpy(now, before, sizeof(before));
    lib_fault_is(l, LIB_FAULT_WRITE, LIB_E0, at);
    lib_drop_faults(l);
    qt_edu_load(&LIB_E0->edu, junk, sizeof(junk));
    qt_edu_dma_from_ram(&LIB_E0->edu, 0, at, sizeof(before));
    lib_fault_is(l, LIB_FAULT_READ, LIB_E0, at);
    lib_drop_faults(l);
}

static void check_identity_table(struct lib *l)
{
    struct leaf_sum sum = { l, 0, 0 };
    struct hwm_visitor v = { .ctx = &sum, .leaf = sum_leaf };
    struct lib_entry entry;
    struct hwm_visit out;
    struct hwm_mem mem;
    struct hwm_fmt fmt;

    lib_read_entry(l, LIB_E0->rid, &entry);
    lib_walker(l, &mem, &fmt);
    lib_check(l, entry.translate && hwm_visit_table(&mem, &fmt, entry.root, entry.levels, &v, &out),
              "the identity table is bad: %s", out.bad ? out.first_bad.why : "no table");
    lib_check(l, sum.wrong == 0, "%" PRIu64 " leaves lead where they must not", sum.wrong);
    lib_check(l, sum.pages == identity_pages(l), "%" PRIu64 " pages, enumerated: %" PRIu64,
              sum.pages, identity_pages(l));
}

static void check_identity_dma(struct lib *l)
{
    static const struct {
        uint64_t first, nr;
        unsigned prot;
    } run[] = {
        { LIB_GFN_SAME, 0x4000, PVI_RW },          { LIB_GFN_SAME + 0x5000, 1, PVI_RW },
        { LIB_GFN_SAME + 0x6000, 512, PVI_READ },  { LIB_GFN_SAME + 0x6200, 512, PVI_RW },
        { LIB_GFN_SAME + 0x8001, 0x1ffe, PVI_RW },
    };
    size_t i;

    for (i = 0; i < sizeof(run) / sizeof(run[0]); i++) {
        /* The fixture's bounce page is the first of the first run. */
        uint64_t first = run[i].first * LIB_PAGE + (i == 0 ? LIB_PAGE : 0);
        uint64_t last = (run[i].first + run[i].nr - 1) * LIB_PAGE;

        if (run[i].prot != PVI_RW)
            lib_blocked(l, LIB_E0, first, first, PVI_RW & ~run[i].prot);
        lib_lands(l, LIB_E0, first, first, run[i].prot);
        lib_lands(l, LIB_E0, last + 4032, last + 4032, run[i].prot);
        if (run[i].first + run[i].nr != LIB_GFN_SAME + 0x6200)
            lib_blocked(l, LIB_E0, last + LIB_PAGE, last + LIB_PAGE, LIB_RW);
    }
}

void lib_check_identity(struct lib *l)
{
    struct pvi_op op = lib_op(PVI_OP_ALLOC_CONTEXT, 0, PVI_ALLOC_IDENTITY);
    struct lib_entry entry;
    uint64_t guest = pa_of(l, SMALL(60));

    lib_submit(l, &op, 1);
    if (!lib_check_status(l, op.status, 0, "alloc of an identity context"))
        return;
    l->identity[op.ctx] = true;
    lib_must_reattach(l, op.ctx, LIB_E0);
    check_identity_table(l);
    check_identity_dma(l);
    lib_check(l, pvi_posix_frame_count(l->guest, pa_of(l, LIB_GFN_SAME), PVI_OWE_REF) == 1,
              "an identity mapping holds no reference");
    /* The hypervisor's memory, first of all the tables that the unit walks right now. */
    lib_read_entry(l, LIB_E0->rid, &entry);
    check_unreachable(l, entry.root);
    check_unreachable(l, l->tap.ring);
    check_unreachable(l, l->pages_pa);
    check_unreachable(l, l->pages_pa + l->pages_size - LIB_PAGE);
    lib_blocked(l, LIB_E0, 0x1000, 0x1000, LIB_RW);
    lib_blocked(l, LIB_E0, guest, guest, LIB_RW); /* a guest's frame that is not at its number */
    check_registers(l);
    if (l->cfg.amd)
        lib_blocked(l, LIB_E0, HT_FIRST, guest, LIB_RW);
    lib_clear(l);
    l->identity[op.ctx] = false;
}

void lib_check_default_identity(struct lib *l)
{
    uint64_t at = lib_high(l), same = pa_of(l, LIB_GFN_SAME + 0x200);
    struct pvi_op ops[3];
    unsigned c;

    check_identity_table(l);
    check_identity_dma(l);
    check_unreachable(l, l->tap.ring);
    check_registers(l);
    ops[0] = lib_op_map(0, at, SMALL(61), 1, PVI_RW);
    ops[1] = lib_op_unmap(0, same, 1);
    ops[2] = lib_op(PVI_OP_FREE_CONTEXT, 0, 0);
    lib_submit(l, ops, 3);
    for (c = 0; c < 3; c++)
        lib_check_status(l, ops[c].status, -PVI_EDEFAULT, "operation on the default context");
    /* Out of it and back: the identity goes and comes as a whole. */
    lib_lands(l, LIB_E0, same, same, LIB_RW);
    c = lib_context_with(l, LIB_E0);
    lib_blocked(l, LIB_E0, same, same, LIB_RW);
    lib_must_map(l, c, at, SMALL(61), 1, PVI_RW);
    lib_lands(l, LIB_E0, at, pa_of(l, SMALL(61)), LIB_RW);
    lib_lands(l, LIB_E1, same, same, LIB_RW);
    lib_check_status(l, lib_free(l, c, PVI_FREE_REATTACH), 0, "free and reattach");
    lib_lands(l, LIB_E0, same, same, LIB_RW);
    lib_blocked(l, LIB_E0, at, pa_of(l, SMALL(61)), LIB_RW);
    lib_clear(l);
}

void lib_check_refused(struct lib *l)
{
    unsigned c = lib_context_with(l, LIB_E0), i;
    const struct {
        uint64_t iova, nr, at;
        bool amd_only;
    } range[] = {
        { MSI_FIRST, 1, MSI_FIRST, false },
        { MSI_LAST + 1 - LIB_PAGE, 1, MSI_LAST + 1 - LIB_PAGE, false },
        { MSI_FIRST - LIB_PAGE, 2, MSI_FIRST, false },
        { MSI_LAST + 1 - LIB_PAGE, 2, MSI_LAST + 1 - LIB_PAGE, false },
        { HT_FIRST, 1, HT_FIRST, true },
        { HT_LAST + 1 - LIB_PAGE, 1, HT_LAST + 1 - LIB_PAGE, true },
        { HT_FIRST - LIB_PAGE, 2, HT_FIRST, true },
    };

    for (i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
        struct pvi_op op = lib_op_map(c, range[i].iova, SMALL(0), range[i].nr, PVI_RW);

        if (range[i].amd_only && !l->cfg.amd)
            continue;
        lib_submit(l, &op, 1);
        lib_check_status(l, op.status, -PVI_ERESERVED, "map over a reserved range");
        lib_check(l, op.fault == range[i].at / LIB_PAGE && op.done == 0,
                  "refused at 0x%" PRIx64 " after %" PRIu64 " frames, expected: 0x%" PRIx64,
                  op.fault, op.done, range[i].at / LIB_PAGE);
    }
    lib_must_map(l, c, MSI_FIRST - LIB_PAGE, SMALL(1), 1, PVI_RW);
    lib_must_map(l, c, MSI_LAST + 1, SMALL(2), 1, PVI_RW);
    lib_lands(l, LIB_E0, MSI_FIRST - LIB_PAGE, pa_of(l, SMALL(1)), LIB_RW);
    lib_lands(l, LIB_E0, MSI_LAST + 1, pa_of(l, SMALL(2)), LIB_RW);
    lib_clear(l);
}

/* The unit ------------------------------------------------------------------------------------- */

/* The device's write to a page of no table, judged without any other DMA. */
static void check_write(struct lib *l, uint64_t page, enum qt_verdict expected, const char *when)
{
    enum qt_verdict got;

    if (l->bracket)
        l->bracket(l, true);
    got = qt_dma_write_lands(&LIB_E0->edu, page, page, 64);
    if (l->bracket)
        l->bracket(l, false);
    lib_check(l, got == expected, "%s DMA is %s, expected: %s", when, qt_verdict_name(got),
              qt_verdict_name(expected));
}

/* A write without IOMMU in the way, then blocked by each of its states, then without again. */
void lib_check_life(const struct lib_config *cfg, void (*arm)(struct lib *l), unsigned *failures)
{
    static struct lib lib;
    struct lib *l = &lib;
    uint64_t page = 100 * LIB_MIB;

    lib_start_machine(l, cfg);
    l->what = "life";
    if (arm)
        arm(l);
    qt_edu_set_bounce(&LIB_E0->edu, page + LIB_PAGE, page + LIB_PAGE);
    check_write(l, page, QT_LANDED, "before the unit is on");
    lib_start_unit(l);
    qt_edu_no_bounce(&LIB_E0->edu);
    check_write(l, page, QT_BLOCKED, "with the unit on and no device added");
    lib_fault_is(l, LIB_FAULT_ROOT, LIB_E0, page);
    lib_start_domain(l);
    lib_blocked(l, LIB_E0, page, page, LIB_W);
    lib_stop_domain(l);
    check_write(l, page, QT_BLOCKED, "after the device was removed");
    lib_fault_is(l, LIB_FAULT_CONTEXT, LIB_E0, page);
    lib_drop_faults(l);
    lib_stop_unit(l);
    qt_edu_set_bounce(&LIB_E0->edu, page + LIB_PAGE, page + LIB_PAGE);
    check_write(l, page, QT_LANDED, "after the unit is off");
    /* Up again, in what the first life left. */
    lib_start_unit(l);
    qt_edu_no_bounce(&LIB_E0->edu);
    check_write(l, page, QT_BLOCKED, "with the unit on again");
    lib_drop_faults(l);
    lib_stop_unit(l);
    lib_stop_machine(l);
    *failures += l->failures;
}
