/* SPDX-License-Identifier: MIT */
/* The list of units, and the texts of errors. */
#include <pviommu/unit.h>

int pvi_system_add_unit(struct pvi_system *sys, struct pvi_unit *unit)
{
    if (sys->nr_units >= PVI_MAX_UNITS) {
        return -PVI_ENOSPC;
    }
    unit->index = sys->nr_units;
    sys->unit[sys->nr_units] = unit;
    sys->nr_units++;
    return 0;
}

const char *pvi_strerror(int err)
{
    /* Unsigned, because the most negative number has no counterpart. */
    unsigned code = err < 0 ? 0u - (unsigned)err : (unsigned)err;

    switch (code) {
    case 0:
        return "success";
#define PVI_ERR_TEXT(name, value, text)                                                            \
    case (value):                                                                                  \
        return text;
        PVI_ERRORS(PVI_ERR_TEXT)
#undef PVI_ERR_TEXT
    default:
        return "unknown error";
    }
}
