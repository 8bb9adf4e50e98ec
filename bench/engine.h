/* SPDX-License-Identifier: MIT */
/* The library's batches as the adapters offer them; see engine.c and batch.c. */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include "bench.h"

extern const struct batch_ops batch_vtd_ss, batch_vtd_fs, batch_amdvi_v1, batch_amdvi_v2;

#endif
