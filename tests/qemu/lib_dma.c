/* SPDX-License-Identifier: MIT */
/* DMAs judged: where data went, what the unit recorded (VT-d hwspec 5). */
#include <inttypes.h>
#include <string.h>

#include "lib_dma.h"

#define CHECK_BYTES 64u

static void bracket(struct lib *l, bool begin)
{
    if (l->bracket)
        l->bracket(l, begin);
}

static enum qt_verdict dma(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa,
                           unsigned dir)
{
    enum qt_verdict got;

    bracket(l, true);
    got = dir == LIB_W ? qt_dma_write_lands(&dev->edu, iova, pa, CHECK_BYTES)
                       : qt_dma_read_lands(&dev->edu, iova, pa, CHECK_BYTES);
    bracket(l, false);
    return got;
}

static bool check_verdict(struct lib *l, const struct lib_dev *dev, uint64_t iova, unsigned dir,
                          enum qt_verdict got, enum qt_verdict expected)
{
    return lib_check(l, got == expected, "%s of 0x%" PRIx64 " by %04x is %s, expected: %s",
                     dir == LIB_W ? "write" : "read", iova, dev->rid, qt_verdict_name(got),
                     qt_verdict_name(expected));
}

bool lib_no_fault(struct lib *l)
{
    struct pvi_fault f;
    bool none = !lib_next_fault(l, &f);

    if (!none)
        lib_check(l, false, "a fault is recorded: reason %u, requester %04x, 0x%" PRIx64, f.code,
                  f.rid, f.iova);
    return none;
}

bool lib_fault_is(struct lib *l, unsigned reason, const struct lib_dev *dev, uint64_t iova)
{
    struct pvi_fault f;
    bool write = reason != LIB_FAULT_READ;

    if (l->cfg.amd)
        return true; /* QEMU never writes the event log */
    if (!lib_check(l, lib_next_fault(l, &f), "no fault is recorded for 0x%" PRIx64, iova))
        return false;
    return lib_check(l,
                     f.code == reason && f.rid == dev->rid && f.iova == (iova & ~(LIB_PAGE - 1)) &&
                         f.write == write && f.translation,
                     "fault: reason %u, requester %04x, 0x%" PRIx64
                     ", expected: %u, %04x, 0x%" PRIx64,
                     f.code, f.rid, f.iova, reason, dev->rid, iova & ~(LIB_PAGE - 1));
}

bool lib_lands(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned dirs)
{
    bool ok = true;

    if (dirs & LIB_W)
        ok &= check_verdict(l, dev, iova, LIB_W, dma(l, dev, iova, pa, LIB_W), QT_LANDED);
    if (dirs & LIB_R)
        ok &= check_verdict(l, dev, iova, LIB_R, dma(l, dev, iova, pa, LIB_R), QT_LANDED);
    return lib_no_fault(l) && ok;
}

static bool blocked(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned dirs,
                    bool cached)
{
    bool ok = true;

    if (dirs & LIB_W) {
        ok &= check_verdict(l, dev, iova, LIB_W, dma(l, dev, iova, pa, LIB_W), QT_BLOCKED);
        if (!cached)
            ok &= lib_fault_is(l, LIB_FAULT_WRITE, dev, iova);
        lib_drop_faults(l);
    }
    if (dirs & LIB_R) {
        ok &= check_verdict(l, dev, iova, LIB_R, dma(l, dev, iova, pa, LIB_R), QT_BLOCKED);
        if (!cached)
            ok &= lib_fault_is(l, LIB_FAULT_READ, dev, iova);
        lib_drop_faults(l);
    }
    return ok;
}

bool lib_blocked(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa, unsigned dirs)
{
    return blocked(l, dev, iova, pa, dirs, false);
}

bool lib_blocked_cached(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa,
                        unsigned dirs)
{
    return blocked(l, dev, iova, pa, dirs, true);
}

bool lib_blocked_everywhere(struct lib *l, struct lib_dev *dev, uint64_t iova, uint64_t pa,
                            unsigned home)
{
    uint8_t poison[CHECK_BYTES], got[CHECK_BYTES];
    unsigned away = dev->ctx;
    bool ok = check_verdict(l, dev, iova, LIB_W, dma(l, dev, iova, pa, LIB_W), QT_BLOCKED);

    lib_drop_faults(l);
    if (!lib_check_status(l, lib_reattach(l, home, dev), 0, "reattach to the context at home"))
        return false;
    memset(poison, 0x5A, sizeof(poison));
    qt_edu_load(&dev->edu, poison, sizeof(poison));
    if (!lib_check_status(l, lib_reattach(l, away, dev), 0, "reattach back"))
        return false;
    memset(qt_ptr(l->qt, pa, sizeof(got)), 0xC3, sizeof(got));
    bracket(l, true);
    qt_edu_dma_from_ram(&dev->edu, 0, iova, sizeof(got));
    bracket(l, false);
    ok &= lib_fault_is(l, LIB_FAULT_READ, dev, iova);
    lib_drop_faults(l);
    if (!lib_check_status(l, lib_reattach(l, home, dev), 0, "reattach to the context at home"))
        return false;
    qt_edu_fetch(&dev->edu, got, sizeof(got));
    ok &= lib_check(l, memchr(got, 0xC3, sizeof(got)) == NULL,
                    "read of 0x%" PRIx64 " by %04x got the memory's content", iova, dev->rid);
    return lib_check_status(l, lib_reattach(l, away, dev), 0, "reattach back") && ok;
}

static void paint(struct lib *l, const struct lib_piece *pieces, unsigned nr, uint8_t seed)
{
    unsigned i;
    uint32_t at;

    for (i = 0; i < nr; i++) {
        uint8_t *p = qt_ptr(l->qt, pieces[i].pa, pieces[i].len);

        for (at = 0; at < pieces[i].len; at++)
            p[at] = (uint8_t)(0x80 | (seed + at * 5 + i * 29));
    }
}

static bool transfer_write(struct lib *l, struct lib_dev *dev, uint64_t iova,
                           const struct lib_piece *pieces, unsigned nr, uint32_t len)
{
    uint8_t sent[QT_EDU_MAX], before[QT_EDU_MAX];
    uint32_t at = 0;
    unsigned i;
    bool ok = true;

    paint(l, pieces, nr, 0x11);
    for (i = 0; i < nr; at += pieces[i++].len)
        memcpy(before + at, qt_ptr(l->qt, pieces[i].pa, pieces[i].len), pieces[i].len);
    for (at = 0; at < len; at++)
        sent[at] = (uint8_t)(0x7F & (at * 3 + 1));
    bracket(l, true);
    qt_edu_write(&dev->edu, iova, sent, len);
    bracket(l, false);
    for (i = 0, at = 0; i < nr; at += pieces[i++].len)
        ok &= lib_check(l,
                        memcmp(qt_ptr(l->qt, pieces[i].pa, pieces[i].len),
                               (pieces[i].moves ? sent : before) + at, pieces[i].len) == 0,
                        "write of %u bytes at 0x%" PRIx64 ": piece %u %s", len, iova, i,
                        pieces[i].moves ? "does not land" : "is not blocked");
    return ok;
}

static bool transfer_read(struct lib *l, struct lib_dev *dev, uint64_t iova,
                          const struct lib_piece *pieces, unsigned nr, uint32_t len)
{
    static const uint8_t zero[QT_EDU_MAX];
    uint8_t got[QT_EDU_MAX];
    uint32_t at;
    unsigned i;
    bool ok = true;

    paint(l, pieces, nr, 0x23);
    bracket(l, true);
    qt_edu_read(&dev->edu, iova, got, len);
    bracket(l, false);
    for (i = 0, at = 0; i < nr; at += pieces[i++].len)
        ok &= lib_check(l,
                        memcmp(got + at,
                               pieces[i].moves ? qt_ptr(l->qt, pieces[i].pa, pieces[i].len) : zero,
                               pieces[i].len) == 0,
                        "read of %u bytes at 0x%" PRIx64 ": piece %u %s", len, iova, i,
                        pieces[i].moves ? "does not arrive" : "is not blocked");
    return ok;
}

bool lib_transfer(struct lib *l, struct lib_dev *dev, uint64_t iova, const struct lib_piece *pieces,
                  unsigned nr, unsigned dirs)
{
    uint32_t len = 0;
    unsigned i;
    bool ok = true;

    for (i = 0; i < nr; i++)
        len += pieces[i].len;
    if (dirs & LIB_W)
        ok &= transfer_write(l, dev, iova, pieces, nr, len);
    if (dirs & LIB_R)
        ok &= transfer_read(l, dev, iova, pieces, nr, len);
    return ok;
}
