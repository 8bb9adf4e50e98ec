/* SPDX-License-Identifier: MIT */
/* The list of units and the texts of errors. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pviommu/unit.h>

static void units_get_their_place(void **state)
{
    static struct pvi_system sys, before;
    static struct pvi_unit units[PVI_MAX_UNITS + 1];

    (void)state;
    memset(&sys, 0, sizeof(sys));
    for (unsigned i = 0; i < PVI_MAX_UNITS; i++) {
        units[i].index = 0xFF;
        assert_int_equal(pvi_system_add_unit(&sys, &units[i]), 0);
        assert_int_equal(sys.nr_units, i + 1);
        assert_ptr_equal(sys.unit[i], &units[i]);
        assert_int_equal(units[i].index, i);
    }
    /* A bitmap of units has 64 bits: the 65th is refused, nothing changed. */
    units[PVI_MAX_UNITS].index = 0xFF;
    before = sys;
    assert_int_equal(pvi_system_add_unit(&sys, &units[PVI_MAX_UNITS]), -PVI_ENOSPC);
    assert_memory_equal(&sys, &before, sizeof(sys));
    assert_int_equal(units[PVI_MAX_UNITS].index, 0xFF);
}

static void errors_have_texts(void **state)
{
    static const int errors[] = {
#define VALUE(name, value, text) value,
        PVI_ERRORS(VALUE)
#undef VALUE
    };
    const int nr = (int)(sizeof(errors) / sizeof(errors[0]));

    (void)state;
    assert_string_equal(pvi_strerror(0), "success");
    for (int i = 0; i < nr; i++) {
        assert_int_equal(errors[i],
                         i + 1); /* numbers are part of guest interfaces: they never move */
        assert_ptr_equal(pvi_strerror(errors[i]), pvi_strerror(-errors[i]));
        assert_string_not_equal(pvi_strerror(errors[i]), "unknown error");
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(pvi_strerror(errors[i]), pvi_strerror(errors[j]));
        }
    }
    assert_string_equal(pvi_strerror(-PVI_EEXIST), "already mapped");
    assert_string_equal(pvi_strerror(-PVI_EFORMAT), "malformed firmware table");
    assert_string_equal(pvi_strerror(nr + 1), "unknown error");
    assert_string_equal(pvi_strerror(INT_MAX), "unknown error");
    assert_string_equal(pvi_strerror(INT_MIN), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_get_their_place),
        cmocka_unit_test(errors_have_texts),
    };

    return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
