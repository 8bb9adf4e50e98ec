/* SPDX-License-Identifier: MIT */
/*
 * The DMAR iterator on tables made by hand, on every truncation and every flipped bit of one, and
 * on the firmware tables of real machines in $PVIOMMU_ACPI_CORPUS. Tables lie in heap blocks of
 * their exact size, so that a sanitizer sees a read beyond them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pviommu/vtd.h>

/* A table being made --------------------------------------------------------------------------- */

struct table {
    uint8_t bytes[1024];
    uint32_t length;
};

static void put(struct table *t, uint64_t value, unsigned bytes)
{
    while (bytes--) {
        t->bytes[t->length++] = (uint8_t)value;
        value >>= 8;
    }
}

/* Sets length and checksum right. */
static void seal_bytes(uint8_t *p, uint32_t length)
{
    uint32_t i, sum = 0;

    for (i = 0; i < 4; i++) {
        p[4 + i] = (uint8_t)(length >> (8 * i));
    }
    p[9] = 0;
    for (i = 0; i < length; i++) {
        sum += p[i];
    }
    p[9] = (uint8_t)(0 - sum);
}

static void seal(struct table *t)
{
    seal_bytes(t->bytes, t->length);
}

static void header(struct table *t, unsigned haw_bits, unsigned flags)
{
    memset(t, 0, sizeof(*t));
    memcpy(t->bytes, "DMAR", 4);
    t->bytes[36] = (uint8_t)(haw_bits - 1);
    t->bytes[37] = (uint8_t)flags;
    t->length = 48;
}

static void scope(struct table *t, unsigned type, unsigned id, unsigned bus, unsigned hops)
{
    unsigned i;

    put(t, type, 1);
    put(t, 6 + 2 * hops, 1);
    put(t, 0x80, 1);
    put(t, 0, 1);
    put(t, id, 1);
    put(t, bus, 1);
    for (i = 0; i < hops; i++) {
        put(t, 0x10 + i, 1);
        put(t, i, 1);
    }
}

static void begin(struct table *t, unsigned type, unsigned length)
{
    put(t, type, 2);
    put(t, length, 2);
}

static void drhd(struct table *t, unsigned flags, unsigned size, uint64_t base,
                 unsigned scopes_length)
{
    begin(t, 0, 16 + scopes_length);
    put(t, flags, 1);
    put(t, size, 1);
    put(t, 0x1234, 2);
    put(t, base, 8);
}

static void rmrr(struct table *t, uint64_t base, uint64_t last, unsigned scopes_length)
{
    begin(t, 1, 24 + scopes_length);
    put(t, 0, 2);
    put(t, 0x22, 2);
    put(t, base, 8);
    put(t, last, 8);
}

/* One of each, with an unknown type between. */
static void everything(struct table *t)
{
    header(t, 46, 5);
    drhd(t, 0, 2, 0xfed90000, 18);
    scope(t, 1, 0, 0x20, 1);
    scope(t, 2, 0, 0x21, 2);
    begin(t, 0x7fff, 7);
    put(t, 0x555555, 3);
    drhd(t, 1, 0, 0xfed91000, 16);
    scope(t, 3, 2, 0xf0, 1);
    scope(t, 4, 0, 0xf0, 1);
    rmrr(t, 0x7b800000, 0x7fffffff, 8);
    scope(t, 1, 0, 0, 1);
    begin(t, 2, 8 + 8);
    put(t, 1, 1);
    put(t, 0, 1);
    put(t, 3, 2);
    scope(t, 2, 0, 0, 1);
    begin(t, 3, 20);
    put(t, 0, 4);
    put(t, 0xfed91000, 8);
    put(t, 0x89abcdef, 4);
    begin(t, 4, 8 + 10);
    put(t, 0, 3);
    put(t, 7, 1);
    memcpy(t->bytes + t->length, "\\_SB.UART\0", 10);
    t->length += 10;
    begin(t, 5, 8);
    put(t, 1, 1);
    put(t, 0, 1);
    put(t, 4, 2);
    begin(t, 6, 8 + 8);
    put(t, 0, 2);
    put(t, 5, 2);
    scope(t, 5, 7, 0, 1);
    seal(t);
}

/* Walking -------------------------------------------------------------------------------------- */

struct walk {
    int end;         /* what stopped the walk */
    unsigned nr_bad; /* -PVI_EFORMAT that could be stepped over */
    unsigned items[8], scopes;
    uint64_t base_sum; /* of DRHDs */
};

static void assert_inside(const struct pvi_dmar *t, const void *p, size_t n)
{
    const uint8_t *b = p;

    assert_true(b >= t->bytes && b + n <= t->bytes + t->length);
}

static void walk_item(const struct pvi_dmar *t, const struct pvi_dmar_item *item, struct walk *w)
{
    struct pvi_dmar_scope s;
    uint16_t at = 0;
    int rc;

    assert_true(item->type <= 6);
    w->items[item->type]++;
    if (item->name) {
        assert_inside(t, item->name, strlen(item->name) + 1);
    }
    if (item->scopes_length) {
        assert_inside(t, item->scopes, item->scopes_length);
    }
    if (item->type == PVI_DMAR_DRHD) {
        w->base_sum += item->base;
        assert_int_equal(item->base & 0xfff, 0);
        assert_true(item->base + (item->size - 1) >= item->base);
    }
    if (item->type == PVI_DMAR_RMRR) {
        assert_true(item->base < item->last);
        assert_int_equal(item->base & 0xfff, 0);
        assert_int_equal(item->last & 0xfff, 0xfff);
    }
    while ((rc = pvi_dmar_scope_next(item, &at, &s)) == 1) {
        assert_true(s.hops >= 1);
        assert_inside(t, s.path, 2u * s.hops);
        assert_true(s.path + 2u * s.hops <= item->scopes + item->scopes_length);
        w->scopes++;
    }
    assert_true(rc == 0 || rc == -PVI_EFORMAT);
    if (rc) {
        w->nr_bad++;
        assert_int_equal(pvi_dmar_scope_next(item, &at, &s), -PVI_EFORMAT);
    }
}

/* Walks a copy of exactly `size` bytes. */
static struct walk walk(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size + !size);
    struct walk w = {0};
    struct pvi_dmar t;
    struct pvi_dmar_item item;
    uint32_t at = 0, before, steps = 0;

    assert_non_null(copy);
    memcpy(copy, bytes, size);
    w.end = pvi_dmar_open(&t, copy, size);
    while (w.end == 0) {
        before = at;
        w.end = pvi_dmar_next(&t, &at, &item);
        assert_true(++steps <= size);
        if (w.end == 0) {
            break;
        }
        if (w.end == 1) {
            walk_item(&t, &item, &w);
            w.end = 0;
            continue;
        }
        assert_int_equal(w.end, -PVI_EFORMAT);
        if (at != before && !(before == 0 && at == 48)) {
            w.nr_bad++;
            w.end = 0;
        } else {
            assert_int_equal(pvi_dmar_next(&t, &at, &item), -PVI_EFORMAT);
        }
    }
    free(copy);
    return w;
}

/* Tests ---------------------------------------------------------------------------------------- */

static void scope_is(const struct pvi_dmar_item *item, uint16_t *at, unsigned type, unsigned id,
                     unsigned bus, unsigned hops)
{
    struct pvi_dmar_scope s;
    unsigned i;

    assert_int_equal(pvi_dmar_scope_next(item, at, &s), 1);
    assert_int_equal(s.type, type);
    assert_int_equal(s.flags, 0x80);
    assert_int_equal(s.id, id);
    assert_int_equal(s.bus, bus);
    assert_int_equal(s.hops, hops);
    for (i = 0; i < hops; i++) {
        assert_int_equal(s.path[2 * i], 0x10 + i);
        assert_int_equal(s.path[2 * i + 1], i);
    }
}

static void next_is(const struct pvi_dmar *t, uint32_t *at, uint16_t *sat,
                    struct pvi_dmar_item *item, unsigned type, unsigned flags, unsigned segment,
                    uint64_t base)
{
    memset(item, 0xff, sizeof(*item));
    assert_int_equal(pvi_dmar_next(t, at, item), 1);
    assert_int_equal(item->type, type);
    assert_int_equal(item->flags, flags);
    assert_int_equal(item->segment, segment);
    assert_int_equal(item->base, base);
    *sat = 0;
}

static void all_structures(void **state)
{
    struct pvi_dmar_item item;
    struct pvi_dmar_scope s;
    struct pvi_dmar t;
    struct table made;
    uint32_t at = 0;
    uint16_t sat = 0;

    (void)state;
    everything(&made);
    assert_int_equal(pvi_dmar_open(&t, made.bytes, sizeof(made.bytes)), 0);
    assert_int_equal(t.haw_bits, 46);
    assert_int_equal(t.flags, PVI_DMAR_INTR_REMAP | PVI_DMAR_DMA_OPT_IN);

    next_is(&t, &at, &sat, &item, PVI_DMAR_DRHD, 0, 0x1234, 0xfed90000);
    assert_int_equal(item.size, 0x4000);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_ENDPOINT, 0, 0x20, 1);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_BRIDGE, 0, 0x21, 2);
    assert_int_equal(pvi_dmar_scope_next(&item, &sat, &s), 0);
    assert_int_equal(pvi_dmar_scope_next(&item, &sat, &s), 0);

    next_is(&t, &at, &sat, &item, PVI_DMAR_DRHD, PVI_DMAR_INCLUDE_ALL, 0x1234, 0xfed91000);
    assert_int_equal(item.size, 0x1000);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_IOAPIC, 2, 0xf0, 1);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_HPET, 0, 0xf0, 1);

    next_is(&t, &at, &sat, &item, PVI_DMAR_RMRR, 0, 0x22, 0x7b800000);
    assert_int_equal(item.last, 0x7fffffff);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_ENDPOINT, 0, 0, 1);

    next_is(&t, &at, &sat, &item, PVI_DMAR_ATSR, PVI_DMAR_ALL_PORTS, 3, 0);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_BRIDGE, 0, 0, 1);

    next_is(&t, &at, &sat, &item, PVI_DMAR_RHSA, 0, 0, 0xfed91000);
    assert_int_equal(item.proximity, 0x89abcdef);
    assert_int_equal(item.scopes_length, 0);

    next_is(&t, &at, &sat, &item, PVI_DMAR_ANDD, 0, 0, 0);
    assert_int_equal(item.acpi_device, 7);
    assert_string_equal(item.name, "\\_SB.UART");
    assert_int_equal(pvi_dmar_scope_next(&item, &sat, &s), 0);

    next_is(&t, &at, &sat, &item, PVI_DMAR_SATC, PVI_DMAR_ATC_REQUIRED, 4, 0);
    assert_null(item.name);
    assert_int_equal(pvi_dmar_scope_next(&item, &sat, &s), 0);

    next_is(&t, &at, &sat, &item, PVI_DMAR_SIDP, 0, 5, 0);
    scope_is(&item, &sat, PVI_DMAR_SCOPE_ACPI, 7, 0, 1);

    assert_int_equal(pvi_dmar_next(&t, &at, &item), 0);
    assert_int_equal(pvi_dmar_next(&t, &at, &item), 0);
}

static void header_refused(void **state)
{
    struct table made;
    struct pvi_dmar t;

    (void)state;
    header(&made, 39, 0);
    seal(&made);
    assert_int_equal(pvi_dmar_open(&t, made.bytes, 48), 0);
    assert_int_equal(t.haw_bits, 39);
    made.bytes[9]++;
    assert_int_equal(pvi_dmar_open(&t, made.bytes, 48), -PVI_EFORMAT);
    made.bytes[0] = 'I';
    seal(&made);
    assert_int_equal(pvi_dmar_open(&t, made.bytes, 48), -PVI_EFORMAT);
    made.bytes[0] = 'D';
    seal_bytes(made.bytes, 47);
    assert_int_equal(pvi_dmar_open(&t, made.bytes, 48), -PVI_EFORMAT);
    seal_bytes(made.bytes, 49);
    assert_int_equal(pvi_dmar_open(&t, made.bytes, 48), -PVI_EFORMAT);
    header(&made, 65, 0);
    seal(&made);
    assert_int_equal(pvi_dmar_open(&t, made.bytes, 48), -PVI_EFORMAT);
}

/* Content that is wrong in a structure of sound length is refused, and what follows still comes. */
static void bad_content(void **state)
{
    static const uint64_t range[][2] = {
        {0x1000, 0x0fff}, /* ends before it begins */
        {0x1000, 0x2000}, /* ends within a page */
        {0x1800, 0x2fff}, /* begins within a page */
        {0xfffffffffffff000, 0xfff},
    };
    struct table made;
    struct walk w;
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(range) / sizeof(range[0]); i++) {
        header(&made, 39, 0);
        rmrr(&made, range[i][0], range[i][1], 0);
        drhd(&made, 1, 0, 0xfed90000, 0);
        seal(&made);
        w = walk(made.bytes, made.length);
        assert_int_equal(w.end, 0);
        assert_int_equal(w.nr_bad, 1);
        assert_int_equal(w.items[PVI_DMAR_RMRR], 0);
        assert_int_equal(w.items[PVI_DMAR_DRHD], 1);
    }
    header(&made, 39, 0);
    drhd(&made, 0, 0, 0xfed90800, 0);         /* not a page */
    drhd(&made, 0, 1, 0xfffffffffffff000, 0); /* wraps */
    drhd(&made, 0, 0, 0xfffffffffffff000, 0); /* the last page of all does not */
    drhd(&made, 0, 0, 0, 0);                  /* two real machines have this: no unit */
    seal(&made);
    w = walk(made.bytes, made.length);
    assert_int_equal(w.end, 0);
    assert_int_equal(w.nr_bad, 2);
    assert_int_equal(w.items[PVI_DMAR_DRHD], 2);

    header(&made, 39, 0);
    begin(&made, 4, 10);
    put(&made, 0, 4);
    put(&made, 0x4142, 2); /* a name without end */
    begin(&made, 4, 8);
    put(&made, 0, 4); /* no name at all */
    seal(&made);
    w = walk(made.bytes, made.length);
    assert_int_equal(w.end, 0);
    assert_int_equal(w.nr_bad, 2);
}

/* Every type one byte shorter than its fixed part is refused; at its fixed part it is not. */
static void short_structures(void **state)
{
    static const uint8_t fixed[] = {16, 24, 8, 20, 9, 8, 8};
    struct table made;
    struct walk w;
    unsigned type, length;

    (void)state;
    for (type = 0; type < sizeof(fixed); type++) {
        for (length = 4; length <= fixed[type]; length++) {
            header(&made, 39, 0);
            begin(&made, type, length);
            made.length += length - 4;
            if (type == 1 && length == 24) {
                made.bytes[48 + 16] = 0xff;
                made.bytes[48 + 17] = 0x0f;
            }
            seal(&made);
            w = walk(made.bytes, made.length);
            assert_int_equal(w.items[type], length == fixed[type]);
            assert_int_equal(w.nr_bad, length != fixed[type]);
            assert_int_equal(w.end, 0);
        }
    }
}

static void bad_lengths(void **state)
{
    static const unsigned bad[] = {0, 1, 3, 17, 0xffff};
    struct table made;
    struct walk w;
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        header(&made, 39, 0);
        drhd(&made, 1, 0, 0xfed90000, 0);
        made.bytes[50] = (uint8_t)bad[i];
        made.bytes[51] = (uint8_t)(bad[i] >> 8);
        seal(&made);
        w = walk(made.bytes, made.length);
        assert_int_equal(w.end, -PVI_EFORMAT);
        assert_int_equal(w.items[PVI_DMAR_DRHD], 0);
    }
    for (i = 1; i < 4; i++) { /* not even a header is left */
        header(&made, 39, 0);
        drhd(&made, 1, 0, 0xfed90000, 0);
        put(&made, 0, i);
        seal(&made);
        w = walk(made.bytes, made.length);
        assert_int_equal(w.end, -PVI_EFORMAT);
        assert_int_equal(w.items[PVI_DMAR_DRHD], 1);
    }
}

static void bad_scopes(void **state)
{
    static const struct {
        uint8_t length, room;
        unsigned good;
    } row[] = {{8, 8, 1}, {10, 10, 1}, {0, 8, 0},  {5, 8, 0}, {6, 8, 0},
               {7, 8, 0}, {9, 9, 0},   {10, 8, 0}, {8, 5, 0}};
    struct table made;
    struct walk w;
    unsigned i;

    (void)state;
    for (i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        header(&made, 39, 0);
        drhd(&made, 0, 0, 0xfed90000, row[i].room);
        made.bytes[made.length] = 1;
        made.bytes[made.length + 1] = row[i].length;
        made.length += row[i].room;
        drhd(&made, 1, 0, 0xfed91000, 0);
        seal(&made);
        w = walk(made.bytes, made.length);
        assert_int_equal(w.end, 0);
        assert_int_equal(w.items[PVI_DMAR_DRHD], 2);
        assert_int_equal(w.scopes, row[i].good);
        assert_int_equal(w.nr_bad, !row[i].good);
    }
}

static void every_truncation(void **state)
{
    struct table made, cut;
    uint32_t n, at_border = 0;
    struct walk w;

    (void)state;
    everything(&made);
    for (n = 0; n < made.length; n++) {
        assert_int_equal(walk(made.bytes, n).end, -PVI_EFORMAT); /* the header knows better */
        cut = made;
        seal_bytes(cut.bytes, n);
        w = walk(cut.bytes, n);
        assert_true(w.end == 0 || w.end == -PVI_EFORMAT);
        at_border += w.end == 0;
    }
    assert_int_equal(at_border, 9); /* between structures, and only there */
}

static void every_bit(void **state)
{
    struct table made, bent;
    uint32_t bit;
    struct walk w;

    (void)state;
    everything(&made);
    for (bit = 0; bit < made.length * 8; bit++) {
        bent = made;
        bent.bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_equal(walk(bent.bytes, made.length).end, -PVI_EFORMAT);
        if (bit / 8 >= 4 && bit / 8 < 8) {
            continue; /* the length: truncations do that */
        }
        seal(&bent);
        w = walk(bent.bytes, made.length);
        assert_true(w.end == 0 || w.end == -PVI_EFORMAT);
    }
}

/* Firmware tables of real machines ------------------------------------------------------------- */

static unsigned get16(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static void check_real(const char *name, const uint8_t *p, size_t size)
{
    struct walk w = walk(p, size);
    unsigned items[8] = {0}, scopes = 0, s;
    uint64_t bases = 0;
    size_t at, i;

    for (at = 48; at + 4 <= size; at += get16(p + at + 2)) {
        items[get16(p + at) & 7]++;
        if (get16(p + at) == 0) {
            for (i = 8; i-- > 0;) {
                bases += (uint64_t)p[at + 8 + i] << (8 * i);
            }
        }
        s = get16(p + at) == 0 ? 16 : get16(p + at) == 1 ? 24 : 8;
        if (get16(p + at) == 3 || get16(p + at) == 4) {
            continue;
        }
        for (; s < get16(p + at + 2); s += p[at + s + 1]) {
            scopes++;
        }
    }
    if (w.end != 0 || w.nr_bad != 0) {
        fail_msg("%s: end %d, %u bad", name, w.end, w.nr_bad);
    }
    assert_memory_equal(w.items, items, sizeof(items));
    assert_int_equal(w.scopes, scopes);
    assert_int_equal(w.base_sum, bases);
    assert_true(w.items[PVI_DMAR_DRHD] > 0);
}

static void real_tables(void **state)
{
    static uint8_t bytes[65536];
    const char *dir = getenv("PVIOMMU_ACPI_CORPUS");
    struct dirent *e;
    char path[4096];
    unsigned nr = 0;
    size_t size;
    FILE *f;
    DIR *d;

    (void)state;
    if (!dir) {
        print_message("PVIOMMU_ACPI_CORPUS is not set: no firmware tables of real machines\n");
        skip();
    }
    d = opendir(dir);
    assert_non_null(d);
    while ((e = readdir(d))) {
        if (strncmp(e->d_name, "dmar_", 5) != 0 && !strstr(e->d_name, ".DMAR.bin")) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        f = fopen(path, "rb");
        assert_non_null(f);
        size = fread(bytes, 1, sizeof(bytes), f);
        fclose(f);
        check_real(e->d_name, bytes, size);
        nr++;
    }
    closedir(d);
    print_message("%u firmware tables of real machines\n", nr);
    assert_true(nr > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_structures),   cmocka_unit_test(header_refused),
        cmocka_unit_test(bad_content),      cmocka_unit_test(short_structures),
        cmocka_unit_test(bad_lengths),      cmocka_unit_test(bad_scopes),
        cmocka_unit_test(every_truncation), cmocka_unit_test(every_bit),
        cmocka_unit_test(real_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
