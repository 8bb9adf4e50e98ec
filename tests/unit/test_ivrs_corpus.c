/* SPDX-License-Identifier: MIT */
/*
 * The IVRS reader on real tables, when PVIOMMU_ACPI_CORPUS names a directory of them: each is read
 * whole, compared with a count of its own, and then damaged in every place.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ivrs_damage.h"

struct counts {
    unsigned tables, ivhd, ivmd, units, hid, special;
};

/* Counts once more with nothing but the lengths, by the tables of hwspec 8.2. */
static void raw_counts(const uint8_t *b, uint32_t len, struct counts *c)
{
    memset(c, 0, sizeof(*c));
    for (uint32_t at = 48; at < len;) {
        uint32_t block = b[at + 2] | (uint32_t)b[at + 3] << 8;
        uint8_t type = b[at];

        if (type >= 0x20 && type <= 0x23) {
            c->ivmd++;
        } else if (type == 0x10 || type == 0x11 || type == 0x40) {
            c->ivhd++;
            for (uint32_t e = at + (type == 0x10 ? 24 : 40); e < at + block;) {
                c->hid += b[e] == 0xF0;
                c->special += b[e] == 0x48;
                e += b[e] == 0xF0 ? 22u + b[e + 21] : 4u << (b[e] >> 6);
            }
        }
        at += block;
    }
}

static void check_real(const char *name, const uint8_t *b, uint32_t len, struct counts *sum)
{
    struct counts raw, mine;
    struct pvi_ivrs_block block;
    struct pvi_ivrs_dev d;
    struct pvi_ivrs v;
    uint8_t *copy;
    uint32_t pos = 0, at;

    if (ivrs_open_exact(&v, &copy, b, len) != 0) {
        fail_msg("%s: refused", name);
    }
    raw_counts(b, len, &raw);
    memset(&mine, 0, sizeof(mine));
    while (pvi_ivrs_next(&v, &pos, &block) == 1) {
        mine.ivhd += block.is_ivhd;
        mine.ivmd += !block.is_ivhd;
        mine.units += block.is_ivhd && pvi_ivrs_preferred(&v, &block.ivhd);
        at = 0;
        while (block.is_ivhd && pvi_ivrs_dev_next(&block.ivhd, &at, &d) == 1) {
            mine.hid += d.kind == PVI_IVRS_DEV_HID;
            mine.special += d.kind == PVI_IVRS_DEV_SPECIAL;
        }
        if (block.is_ivhd) {
            assert_true(block.ivhd.reg_pa != 0 && (block.ivhd.reg_pa & 0xFFF) == 0);
        }
    }
    assert_int_equal(mine.ivhd, raw.ivhd);
    assert_int_equal(mine.ivmd, raw.ivmd);
    assert_int_equal(mine.hid, raw.hid);
    assert_int_equal(mine.special, raw.special);
    assert_true(mine.units >= 1);
    free(copy);
    sum->tables++;
    sum->ivhd += mine.ivhd;
    sum->ivmd += mine.ivmd;
    sum->units += mine.units;
    sum->hid += mine.hid;
    sum->special += mine.special;
}

static void real_tables(void **state)
{
    struct counts sum;
    struct dirent *e;
    DIR *d;

    (void)state;
    d = opendir(getenv("PVIOMMU_ACPI_CORPUS"));
    assert_non_null(d);
    memset(&sum, 0, sizeof(sum));
    while ((e = readdir(d)) != NULL) {
        static uint8_t b[65536];
        char path[4096];
        size_t len;
        FILE *f;

        if (strncmp(e->d_name, "ivrs_", 5) != 0 && strstr(e->d_name, ".IVRS.bin") == NULL) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s", getenv("PVIOMMU_ACPI_CORPUS"), e->d_name);
        f = fopen(path, "rb");
        assert_non_null(f);
        len = fread(b, 1, sizeof(b), f);
        fclose(f);
        check_real(e->d_name, b, (uint32_t)len, &sum);
        ivrs_truncate(b, (uint32_t)len);
        ivrs_flip(b, (uint32_t)len);
    }
    closedir(d);
    assert_true(sum.tables > 0);
    print_message("%u tables: %u IVHD of %u units, %u IVMD, %u ACPI devices, %u special\n",
                  sum.tables, sum.ivhd, sum.units, sum.ivmd, sum.hid, sum.special);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_tables),
    };

    const char *dir = getenv("PVIOMMU_ACPI_CORPUS");

    if (dir == NULL || *dir == '\0') {
        puts("PVIOMMU_ACPI_CORPUS names no directory of real tables: nothing was tested");
        return 77;
    }
    return cmocka_run_group_tests_name("ivrs corpus", tests, NULL, NULL);
}
