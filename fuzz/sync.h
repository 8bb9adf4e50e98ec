/* SPDX-License-Identifier: MIT */
/* One run of the hooks of sync_pt on arbitrary input, judged by the flat model and a table walker. */
#ifndef FUZZ_SYNC_H
#define FUZZ_SYNC_H

#include <pviommu/pgtable.h>
#include <stddef.h>
#include <stdint.h>

#include "hwm.h"
#include "input.h"

/** Runs the input on a domain whose unit walks `format`. Aborts when the library is wrong. */
void fuzz_sync(const struct pvi_pt_ops *format, enum hwm_fmt_kind walker, const uint8_t *data, size_t size);

#endif
