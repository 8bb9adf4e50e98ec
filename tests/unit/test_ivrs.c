/* SPDX-License-Identifier: MIT */
/*
 * The IVRS reader: a table made by hand with everything of hwspec 8.2, malformed ones, and the
 * former cut short and damaged in every place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ivrs_damage.h"

/* Writing tables */

struct table {
    uint8_t b[1024];
    uint32_t len;
    uint32_t block; /* where the open block begins */
};

static void put(struct table *t, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        assert_true(t->len < sizeof(t->b));
        t->b[t->len++] = (uint8_t)(value >> (8 * i));
    }
}

static void begin(struct table *t, uint32_t info)
{
    memset(t, 0, sizeof(*t));
    memcpy(t->b, "IVRS", 4);
    t->b[8] = 2;
    t->len = 48;
    ivrs_set(t->b, 36, info, 4);
}

static void finish(struct table *t)
{
    ivrs_set(t->b, 4, t->len, 4);
    ivrs_checksum(t->b, t->len);
}

static void close_block(struct table *t)
{
    ivrs_set(t->b, t->block + 2, t->len - t->block, 2);
}

static void open_ivhd(struct table *t, uint8_t type, uint8_t flags, uint16_t rid, uint64_t efr)
{
    t->block = t->len;
    put(t, type, 1);
    put(t, flags, 1);
    put(t, 0, 2);
    put(t, rid, 2);
    put(t, 0x40, 2);
    put(t, 0xFEB80000, 8);
    put(t, 0x0001, 2);
    put(t, 0x1302, 2);
    put(t, 0x80048F6E, 4);
    if (type != 0x10) {
        put(t, efr, 8);
        put(t, 0x1122334455667788, 8);
    }
}

static void put_ivmd(struct table *t, uint8_t type, uint8_t flags, uint16_t rid, uint16_t aux,
                     uint64_t base, uint64_t len)
{
    put(t, type, 1);
    put(t, flags, 1);
    put(t, 32, 2);
    put(t, rid, 2);
    put(t, aux, 2);
    put(t, 0x0002, 2);
    put(t, 0, 6);
    put(t, base, 8);
    put(t, len, 8);
}

static void dev4(struct table *t, uint8_t type, uint16_t rid, uint8_t data)
{
    put(t, type, 1);
    put(t, rid, 2);
    put(t, data, 1);
}

static void dev_alias(struct table *t, uint8_t type, uint16_t rid, uint8_t data, uint16_t used)
{
    dev4(t, type, rid, data);
    put(t, 0, 1);
    put(t, used, 2);
    put(t, 0, 1);
}

static void dev_hid(struct table *t, uint16_t rid, uint8_t data, const char *uid, uint8_t uid_len)
{
    dev4(t, 0xF0, rid, data);
    for (unsigned i = 0; i < 8; i++) {
        put(t, (uint8_t) "AMDI0095"[i], 1);
    }
    put(t, 0x1234567890ABCDEF, 8);
    put(t, 2, 1);
    put(t, uid_len, 1);
    for (unsigned i = 0; i < uid_len; i++) {
        put(t, (uint8_t)uid[i], 1);
    }
}

static void make_full(struct table *t)
{
    begin(t, 0x00603043); /* EFRSup, DMA-remap support; PASize 48, VASize 64, HtAtsResv */
    open_ivhd(t, 0x10, 0xB7, 0x0002, 0);
    dev4(t, 0x01, 0, 0x11);
    close_block(t);
    open_ivhd(t, 0x11, 0xB7, 0x0002, 0xFFEE);
    dev4(t, 0x00, 0, 0);
    dev4(t, 0x02, 0x0810, 0x22);
    dev4(t, 0x03, 0x1000, 0x33);
    dev4(t, 0x00, 0, 0);
    dev4(t, 0x04, 0x1FFF, 0xFF);
    dev_alias(t, 0x40, 0, 0, 0);
    dev_alias(t, 0x42, 0x2001, 0x44, 0x2000);
    dev_alias(t, 0x43, 0x3000, 0x55, 0x2F00);
    dev4(t, 0x04, 0x30FF, 0);
    close_block(t);
    put(t, 0x51, 1); /* a type of the future */
    put(t, 0, 1);
    put(t, 7, 2);
    put(t, 0xFFFFFF, 3);
    open_ivhd(t, 0x40, 0x30, 0x0002, 0xFFEE);
    dev4(t, 0x46, 0x4000, 0x66);
    put(t, 0x80000001, 4);
    dev4(t, 0x47, 0x5000, 0x77);
    put(t, 0x80000000, 4);
    dev4(t, 0x04, 0x5000, 0);
    dev4(t, 0x48, 0x0000, 0xD7);
    put(t, 0x21, 1);
    put(t, 0x00A0, 2);
    put(t, 1, 1);
    dev4(t, 0x05, 0x9999, 0); /* unknown types of known length */
    dev_alias(t, 0x7F, 0x9999, 0, 0);
    dev_hid(t, 0x00A5, 0x10, "\\_SB.UR0", 8);
    dev_hid(t, 0x00A6, 0x00, NULL, 0);
    close_block(t);
    put_ivmd(t, 0x20, 0x07, 0x1111, 0x2222, 0x1000, 0x2000);
    put_ivmd(t, 0x21, 0x03, 0x0810, 0xFFFF, 0xA0000, 0x20000);
    put_ivmd(t, 0x22, 0x05, 0x1000, 0x10FF, 0xFFFFFFFFFFFFE000, 0x1FFF);
    put_ivmd(t, 0x23, 0x08, 0x0002, 0x0000, 0x7000, 0x1000);
    finish(t);
}

static void assert_next_dev(const struct pvi_ivrs_ivhd *ivhd, uint32_t *pos, unsigned kind,
                            unsigned data, unsigned first, unsigned last, unsigned used,
                            uint32_t ext)
{
    struct pvi_ivrs_dev d;

    assert_int_equal(pvi_ivrs_dev_next(ivhd, pos, &d), 1);
    assert_int_equal(d.kind, kind);
    assert_int_equal(d.data, data);
    assert_int_equal(d.first, first);
    assert_int_equal(d.last, last);
    assert_int_equal(d.used, used);
    assert_int_equal(d.ext, ext);
}

static void assert_no_dev(const struct pvi_ivrs_ivhd *ivhd, uint32_t *pos)
{
    struct pvi_ivrs_dev d;

    assert_int_equal(pvi_ivrs_dev_next(ivhd, pos, &d), 0);
    assert_int_equal(pvi_ivrs_dev_next(ivhd, pos, &d), 0);
}

static void full_ivhds(const struct pvi_ivrs *t, uint32_t *pos)
{
    struct pvi_ivrs_block b;
    struct pvi_ivrs_dev d;
    uint32_t at = 0;

    assert_int_equal(pvi_ivrs_next(t, pos, &b), 1);
    assert_true(b.is_ivhd);
    assert_int_equal(b.ivhd.type, 0x10);
    assert_int_equal(b.ivhd.flags, 0xB7);
    assert_int_equal(b.ivhd.rid, 0x0002);
    assert_int_equal(b.ivhd.cap_offset, 0x40);
    assert_int_equal(b.ivhd.reg_pa, 0xFEB80000);
    assert_int_equal(b.ivhd.segment, 1);
    assert_int_equal(b.ivhd.info, 0x1302);
    assert_int_equal(b.ivhd.feature, 0x80048F6E);
    assert_false(b.ivhd.efr_copy);
    assert_false(pvi_ivrs_preferred(t, &b.ivhd));
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_RANGE, 0x11, 0, 0xFFFF, 0, 0);
    assert_no_dev(&b.ivhd, &at);

    at = 0;
    assert_int_equal(pvi_ivrs_next(t, pos, &b), 1);
    assert_int_equal(b.ivhd.type, 0x11);
    assert_true(b.ivhd.efr_copy);
    assert_int_equal(b.ivhd.efr, 0xFFEE);
    assert_int_equal(b.ivhd.efr2, 0x1122334455667788);
    assert_false(b.ivhd.hat_dis);
    assert_false(pvi_ivrs_preferred(t, &b.ivhd));
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_RANGE, 0x22, 0x810, 0x810, 0x810, 0);
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_RANGE, 0x33, 0x1000, 0x1FFF, 0x1000, 0);
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_ALIAS, 0x44, 0x2001, 0x2001, 0x2000, 0);
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_ALIAS, 0x55, 0x3000, 0x30FF, 0x2F00, 0);
    assert_no_dev(&b.ivhd, &at);

    at = 0;
    assert_int_equal(pvi_ivrs_next(t, pos, &b), 1);
    assert_int_equal(b.ivhd.type, 0x40);
    assert_true(pvi_ivrs_preferred(t, &b.ivhd));
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_RANGE, 0x66, 0x4000, 0x4000, 0x4000, 0x80000001);
    assert_next_dev(&b.ivhd, &at, PVI_IVRS_DEV_RANGE, 0x77, 0x5000, 0x5000, 0x5000, 0x80000000);
    assert_int_equal(pvi_ivrs_dev_next(&b.ivhd, &at, &d), 1);
    assert_int_equal(d.kind, PVI_IVRS_DEV_SPECIAL);
    assert_int_equal(d.data, 0xD7);
    assert_int_equal(d.handle, 0x21);
    assert_int_equal(d.used, 0xA0);
    assert_int_equal(d.variety, 1);
    assert_int_equal(pvi_ivrs_dev_next(&b.ivhd, &at, &d), 1);
    assert_int_equal(d.kind, PVI_IVRS_DEV_HID);
    assert_int_equal(d.first, 0xA5);
    assert_memory_equal(d.hid, "AMDI0095\xEF\xCD\xAB\x90\x78\x56\x34\x12", 16);
    assert_int_equal(d.uid_type, 2);
    assert_int_equal(d.uid_len, 8);
    assert_memory_equal(d.uid, "\\_SB.UR0", 8);
    assert_int_equal(pvi_ivrs_dev_next(&b.ivhd, &at, &d), 1);
    assert_int_equal(d.kind, PVI_IVRS_DEV_HID);
    assert_int_equal(d.uid_len, 0);
    assert_no_dev(&b.ivhd, &at);
}

static void assert_ivmd(const struct pvi_ivrs *t, uint32_t *pos, unsigned type, unsigned prot,
                        unsigned first, unsigned last, uint64_t base, uint64_t len)
{
    struct pvi_ivrs_block b;

    assert_int_equal(pvi_ivrs_next(t, pos, &b), 1);
    assert_false(b.is_ivhd);
    assert_int_equal(b.ivmd.type, type);
    assert_int_equal(b.ivmd.prot, prot);
    assert_int_equal(b.ivmd.unity, type != 0x23);
    assert_int_equal(b.ivmd.exclusion, type == 0x23);
    assert_int_equal(b.ivmd.first, first);
    assert_int_equal(b.ivmd.last, last);
    assert_int_equal(b.ivmd.segment, 2);
    assert_int_equal(b.ivmd.base, base);
    assert_int_equal(b.ivmd.len, len);
}

static void full_table(void **state)
{
    static struct table t;
    struct pvi_ivrs_block b;
    struct pvi_ivrs v;
    uint8_t *copy;
    uint32_t pos = 0;

    (void)state;
    make_full(&t);
    assert_int_equal(ivrs_open_exact(&v, &copy, t.b, t.len), 0);
    assert_int_equal(v.revision, 2);
    assert_true(v.efr_sup);
    assert_true(v.ht_ats_resv);
    assert_int_equal(v.pa_bits, 48);
    assert_int_equal(v.va_bits, 64);
    full_ivhds(&v, &pos);
    /* bit 1 is read, bit 2 is write: hwspec 10 item 17 */
    assert_ivmd(&v, &pos, 0x20, PVI_RW, 0, 0xFFFF, 0x1000, 0x2000);
    assert_ivmd(&v, &pos, 0x21, PVI_READ, 0x810, 0x810, 0xA0000, 0x20000);
    assert_ivmd(&v, &pos, 0x22, PVI_WRITE, 0x1000, 0x10FF, 0xFFFFFFFFFFFFE000, 0x1FFF);
    assert_ivmd(&v, &pos, 0x23, 0, 2, 2, 0x7000, 0x1000);
    assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 0);
    assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 0);
    free(copy);
}

static void configuration(void **state)
{
    static struct table t;
    struct pvi_ivrs_block b;
    struct pvi_amdvi_cfg cfg;
    struct pvi_ivrs v;
    uint32_t pos = 0;

    (void)state;
    make_full(&t);
    assert_int_equal(pvi_ivrs_open(&v, t.b, sizeof(t.b)), 0);
    assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 1);
    memset(&cfg, 0xFF, sizeof(cfg));
    pvi_amdvi_cfg_from_ivhd(&cfg, &v, &b.ivhd, 1u << 27);
    assert_int_equal(cfg.reg_pa, 0xFEB80000);
    assert_int_equal(cfg.ivhd_flags & 0xF, 0x7);
    assert_false(cfg.efr_copy);
    assert_true(cfg.efr_sup);
    assert_false(cfg.np_cache);
    assert_int_equal(cfg.pa_bits, 48);
    assert_int_equal(cfg.iova_bits, 64);
    assert_int_equal(cfg.levels_mask, 0);
    assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 1);
    pvi_amdvi_cfg_from_ivhd(&cfg, &v, &b.ivhd, 1u << 24 | 1u << 26);
    assert_true(cfg.efr_copy);
    assert_int_equal(cfg.efr, 0xFFEE);
    assert_false(cfg.efr_sup);
    assert_true(cfg.np_cache);
    assert_false(cfg.hat_dis);

    /* Without EFRSup the copies mean nothing. */
    ivrs_set(t.b, 36, 0x00203040, 4);
    ivrs_set(t.b, 48 + 28 + 20, 1, 4); /* attributes of the second block: HATDis */
    ivrs_checksum(t.b, t.len);
    pos = 0;
    assert_int_equal(pvi_ivrs_open(&v, t.b, sizeof(t.b)), 0);
    assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 1);
    assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 1);
    pvi_amdvi_cfg_from_ivhd(&cfg, &v, &b.ivhd, 0);
    assert_false(cfg.efr_copy);
    assert_true(cfg.hat_dis);
}

/* Units are told apart by segment and requester id. */
static void preferred_of_many_units(void **state)
{
    static const struct {
        uint8_t type;
        uint16_t rid, segment;
        bool preferred;
    } ivhd[] = {
        {0x10, 0x0002, 0, true},  {0x11, 0x0002, 1, false}, {0x40, 0x0002, 1, true},
        {0x10, 0x4002, 0, false}, {0x11, 0x4002, 0, true},  {0x11, 0x4002, 0, true},
    };
    const size_t nr = sizeof(ivhd) / sizeof(ivhd[0]);
    static struct table t;
    struct pvi_ivrs_block b;
    struct pvi_ivrs v;
    uint32_t pos = 0;

    (void)state;
    begin(&t, 0);
    for (size_t i = 0; i < nr; i++) {
        open_ivhd(&t, ivhd[i].type, 0, ivhd[i].rid, 0);
        ivrs_set(t.b, t.block + 16, ivhd[i].segment, 2);
        close_block(&t);
    }
    finish(&t);
    assert_int_equal(pvi_ivrs_open(&v, t.b, t.len), 0);
    for (size_t i = 0; i < nr; i++) {
        assert_int_equal(pvi_ivrs_next(&v, &pos, &b), 1);
        assert_int_equal(pvi_ivrs_preferred(&v, &b.ivhd), ivhd[i].preferred);
    }
}

static void bad_headers(void **state)
{
    static struct table t;

    (void)state;
    begin(&t, 0);
    finish(&t);
    assert_int_equal(ivrs_open_bytes(t.b, 48), 0); /* no blocks at all */
    assert_int_equal(ivrs_open_bytes(t.b, 49), 0); /* bytes behind the table are not read */
    t.b[3] = 'Z';
    ivrs_checksum(t.b, t.len);
    assert_int_equal(ivrs_open_bytes(t.b, 48), -PVI_EFORMAT);
    begin(&t, 0);
    ivrs_set(t.b, 4, 47, 4);
    ivrs_checksum(t.b, 47);
    assert_int_equal(ivrs_open_bytes(t.b, 48), -PVI_EFORMAT);
    ivrs_set(t.b, 4, 0xFFFFFFFF, 4);
    ivrs_checksum(t.b, 48);
    assert_int_equal(ivrs_open_bytes(t.b, 48), -PVI_EFORMAT);
    for (size_t size = 0; size < 48; size++) {
        assert_int_equal(ivrs_open_bytes(t.b, size), -PVI_EFORMAT);
    }
}

/* One IVHD 10h that holds nothing but these device entries. */
static int open_entries(const uint8_t *entries, uint32_t len)
{
    static struct table t;

    begin(&t, 0);
    open_ivhd(&t, 0x10, 0, 2, 0);
    for (uint32_t i = 0; i < len; i++) {
        put(&t, entries[i], 1);
    }
    close_block(&t);
    finish(&t);
    return ivrs_open_bytes(t.b, t.len);
}

static void bad_device_entries(void **state)
{
    static const uint8_t end_alone[] = {0x04, 0, 0, 0};
    static const uint8_t start_alone[] = {0x03, 0, 0, 0};
    static const uint8_t start_select[] = {0x03, 0, 1, 0, 0x02, 0, 2, 0, 0x04, 0, 3, 0};
    static const uint8_t start_pad[] = {0x03, 0, 1, 0, 0x00, 0, 2, 0};
    static const uint8_t descending[] = {0x03, 1, 1, 0, 0x04, 0, 1, 0};
    static const uint8_t single[] = {0x03, 1, 1, 0, 0x04, 1, 1, 0};
    static const uint8_t unknown_length[] = {0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t cut4[] = {0x02, 0, 0};
    static const uint8_t cut8[] = {0x42, 0, 0, 0, 0, 0, 0};
    uint8_t hid[30];

    (void)state;
    assert_int_equal(open_entries(end_alone, sizeof(end_alone)), -PVI_EFORMAT);
    assert_int_equal(open_entries(start_alone, sizeof(start_alone)), -PVI_EFORMAT);
    assert_int_equal(open_entries(start_select, sizeof(start_select)), -PVI_EFORMAT);
    assert_int_equal(open_entries(start_pad, sizeof(start_pad)), -PVI_EFORMAT);
    assert_int_equal(open_entries(descending, sizeof(descending)), -PVI_EFORMAT);
    assert_int_equal(open_entries(single, sizeof(single)), 0);
    assert_int_equal(open_entries(unknown_length, sizeof(unknown_length)), -PVI_EFORMAT);
    assert_int_equal(open_entries(cut4, sizeof(cut4)), -PVI_EFORMAT);
    assert_int_equal(open_entries(cut8, sizeof(cut8)), -PVI_EFORMAT);
    memset(hid, 0, sizeof(hid));
    hid[0] = 0xF0;
    hid[21] = 8;
    assert_int_equal(open_entries(hid, 30), 0);
    for (uint32_t len = 1; len < 30; len++) {
        assert_int_equal(open_entries(hid, len), -PVI_EFORMAT);
    }
}

static void bad_blocks(void **state)
{
    static struct table t;

    (void)state;
    /* shorter than its own header, by type */
    static const struct {
        uint8_t type, min;
    } shortest[] = {{0x10, 24}, {0x11, 40}, {0x40, 40}, {0x20, 32},
                    {0x21, 32}, {0x22, 32}, {0x23, 32}, {0x7F, 4}};
    for (size_t i = 0; i < sizeof(shortest) / sizeof(shortest[0]); i++) {
        for (unsigned len = 0; len <= shortest[i].min; len++) {
            begin(&t, 0);
            put(&t, shortest[i].type, 1);
            put(&t, 0, 1);
            put(&t, len, 2);
            t.len = 48 + (len < 4 ? 4 : len);
            finish(&t);
            assert_int_equal(ivrs_open_bytes(t.b, t.len), len < shortest[i].min ? -PVI_EFORMAT : 0);
        }
    }
    /* no room for a block header at the end */
    for (unsigned extra = 1; extra < 4; extra++) {
        begin(&t, 0);
        put(&t, 0, extra);
        finish(&t);
        assert_int_equal(ivrs_open_bytes(t.b, t.len), -PVI_EFORMAT);
    }
    /* memory that wraps, a range that descends */
    begin(&t, 0);
    put_ivmd(&t, 0x21, 1, 0, 0, 0xFFFFFFFFFFFFF000, 0x1000);
    finish(&t);
    assert_int_equal(ivrs_open_bytes(t.b, t.len), -PVI_EFORMAT);
    begin(&t, 0);
    put_ivmd(&t, 0x22, 1, 5, 4, 0, 0x1000);
    finish(&t);
    assert_int_equal(ivrs_open_bytes(t.b, t.len), -PVI_EFORMAT);
}

static void truncated_full_table(void **state)
{
    static struct table t;

    (void)state;
    make_full(&t);
    ivrs_truncate(t.b, t.len);
}

static void flipped_full_table(void **state)
{
    static struct table t;

    (void)state;
    make_full(&t);
    ivrs_flip(t.b, t.len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_table),
        cmocka_unit_test(configuration),
        cmocka_unit_test(preferred_of_many_units),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(bad_device_entries),
        cmocka_unit_test(bad_blocks),
        cmocka_unit_test(truncated_full_table),
        cmocka_unit_test(flipped_full_table),
    };

    return cmocka_run_group_tests_name("ivrs", tests, NULL, NULL);
}
