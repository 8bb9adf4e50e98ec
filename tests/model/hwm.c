/* SPDX-License-Identifier: MIT */
/*
 * Hardware model: what both kinds of unit share: life cycle, register access, command execution
 * in time, the log of what the unit was told, violations, and the entry points for DMA.
 */
#include "hwm_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hwm *new_unit(const struct hwm_mem *mem)
{
    struct hwm *h = calloc(1, sizeof(*h));

    if (!h) {
        abort();
    }
    h->mem = *mem;
    hwm_cache_init(&h->hold_root, NULL);
    hwm_cache_init(&h->hold_table, NULL);
    hwm_cache_init(&h->hold_leaf, NULL);
    hwm_cache_init(&h->hold_dev, NULL);
    hwm_cache_init(&h->ctx, &h->hold_root);
    hwm_cache_init(&h->pasid, &h->hold_root);
    hwm_cache_init(&h->iotlb, &h->hold_leaf);
    hwm_cache_init(&h->psc, &h->hold_table);
    hwm_cache_init(&h->devtlb, &h->hold_dev);
    return h;
}

struct hwm *hwm_vtd_new(const struct hwm_vtd_cfg *cfg, const struct hwm_mem *mem)
{
    struct hwm *h = new_unit(mem);

    h->vtd.cfg = *cfg;
    hwm_reset(h);
    return h;
}

struct hwm *hwm_amd_new(const struct hwm_amd_cfg *cfg, const struct hwm_mem *mem)
{
    struct hwm *h = new_unit(mem);

    h->amd = true;
    h->iommu.cfg = *cfg;
    hwm_reset(h);
    return h;
}

void hwm_free(struct hwm *h)
{
    if (!h) {
        return;
    }
    hwm_cache_free(&h->ctx);
    hwm_cache_free(&h->pasid);
    hwm_cache_free(&h->iotlb);
    hwm_cache_free(&h->psc);
    hwm_cache_free(&h->devtlb);
    hwm_cache_free(&h->hold_root);
    hwm_cache_free(&h->hold_table);
    hwm_cache_free(&h->hold_leaf);
    hwm_cache_free(&h->hold_dev);
    free(h->fifo);
    free(h->watch);
    free(h->log);
    free(h);
}

void hwm_reset(struct hwm *h)
{
    hwm_cache_clear(&h->ctx);
    hwm_cache_clear(&h->pasid);
    hwm_cache_clear(&h->iotlb);
    hwm_cache_clear(&h->psc);
    hwm_cache_clear(&h->devtlb);
    hwm_fifo_clear(h);
    h->inject = HWM_INJECT_NONE;
    h->polls = 0;
    memset(h->mmio, 0, sizeof(h->mmio));
    if (h->amd) {
        hwm_amd_reset(h);
    } else {
        hwm_vtd_reset(h);
    }
}

bool hwm_is_amd(const struct hwm *h)
{
    return h->amd;
}

/* ---- violations, log, interrupts ----------------------------------------------------------- */

void hwm_violate(struct hwm *h, const char *fmt, ...)
{
    va_list ap;

    if (h->nr_violations < HWM_NR_VIOLATIONS) {
        va_start(ap, fmt);
        vsnprintf(h->violation[h->nr_violations], sizeof(h->violation[0]), fmt, ap);
        va_end(ap);
    }
    h->nr_violations++;
}

const char *hwm_violation(const struct hwm *h)
{
    return hwm_violation_at(h, 0);
}

size_t hwm_violations(const struct hwm *h)
{
    return h->nr_violations;
}

const char *hwm_violation_at(const struct hwm *h, size_t i)
{
    return i < h->nr_violations && i < HWM_NR_VIOLATIONS ? h->violation[i] : NULL;
}

void hwm_violation_clear(struct hwm *h)
{
    h->nr_violations = 0;
}

void hwm_tell(struct hwm *h, const struct hwm_told *t)
{
    h->counts[t->kind]++;
    h->seq++;
    if (h->log_nr >= HWM_LOG_MAX) {
        return;
    }
    if (h->log_nr == h->log_cap) {
        h->log_cap = h->log_cap ? h->log_cap * 2 : 64;
        h->log = realloc(h->log, h->log_cap * sizeof(*h->log));
        if (!h->log) {
            abort();
        }
    }
    h->log[h->log_nr] = *t;
    h->log[h->log_nr++].seq = h->seq;
}

const struct hwm_told *hwm_log(const struct hwm *h, size_t *nr)
{
    *nr = h->log_nr;
    return h->log;
}

uint64_t hwm_log_count(const struct hwm *h, enum hwm_kind kind)
{
    return h->counts[kind];
}

void hwm_log_reset(struct hwm *h)
{
    h->log_nr = 0;
    memset(h->counts, 0, sizeof(h->counts));
}

const char *hwm_kind_name(enum hwm_kind kind)
{
    static const char *const names[HWM_KINDS] = {
        "ctx-global", "ctx-domain", "ctx-device", "pasid-global", "pasid-domain", "pasid-one",
        "tlb-global", "tlb-domain", "tlb-page",   "ptlb-pasid",   "ptlb-page",    "devtlb",
        "irt",        "all",        "wait",       "wbf",          "set-root",     "other",
    };

    return (unsigned)kind < HWM_KINDS ? names[kind] : "?";
}

void hwm_send_msi(struct hwm *h, enum hwm_msi which, uint64_t addr, uint32_t data)
{
    h->msis[which]++;
    if (h->mem.msi) {
        h->mem.msi(h->mem.opaque, addr, data);
    }
}

uint64_t hwm_msi_count(const struct hwm *h, enum hwm_msi which)
{
    return h->msis[which];
}

void hwm_drain_writes(struct hwm *h)
{
    if (h->mem.write_buffer_flush) {
        h->mem.write_buffer_flush(h->mem.opaque);
    }
}

/* ---- commands in time ---------------------------------------------------------------------- */

void hwm_fifo_push(struct hwm *h, const struct hwm_cmd *cmd)
{
    if (h->fifo_head + h->fifo_nr == h->fifo_cap) {
        if (h->fifo_nr) {
            memmove(h->fifo, h->fifo + h->fifo_head, h->fifo_nr * sizeof(*h->fifo));
        }
        h->fifo_head = 0;
        if (h->fifo_nr * 2 >= h->fifo_cap) {
            h->fifo_cap = h->fifo_cap ? h->fifo_cap * 2 : 256;
            h->fifo = realloc(h->fifo, h->fifo_cap * sizeof(*h->fifo));
            if (!h->fifo) {
                abort();
            }
        }
    }
    h->fifo[h->fifo_head + h->fifo_nr++] = *cmd;
}

void hwm_fifo_clear(struct hwm *h)
{
    h->fifo_head = h->fifo_nr = 0;
}

bool hwm_inject_now(struct hwm *h, enum hwm_inject what)
{
    if (h->inject != what) {
        return false;
    }
    if (h->inject_skip) {
        h->inject_skip--;
        return false;
    }
    h->inject = HWM_INJECT_NONE;
    return true;
}

void hwm_inject(struct hwm *h, enum hwm_inject what, unsigned skip)
{
    h->inject = what;
    h->inject_skip = skip;
}

static bool is_wait(const struct hwm *h, const struct hwm_cmd *cmd)
{
    return h->amd ? cmd->w[0] >> 60 == 1 : (cmd->w[0] & 0xf) == 5;
}

static uint32_t next_random(struct hwm *h)
{
    h->reorder ^= h->reorder << 13;
    h->reorder ^= h->reorder >> 17;
    h->reorder ^= h->reorder << 5;
    return h->reorder;
}

static struct hwm_cmd take_one(struct hwm *h)
{
    struct hwm_cmd *first = h->fifo + h->fifo_head, cmd;
    size_t free_to_move = 0, i = 0;

    if (h->reorder) {
        while (free_to_move < h->fifo_nr && !is_wait(h, first + free_to_move)) {
            free_to_move++;
        }
        i = free_to_move ? next_random(h) % free_to_move : 0;
    }
    cmd = first[i];
    memmove(first + 1, first, i * sizeof(*first));
    h->fifo_head++;
    h->fifo_nr--;
    return cmd;
}

static void fetch(struct hwm *h)
{
    if (h->amd) {
        hwm_amd_fetch(h);
    } else {
        hwm_vtd_fetch(h);
    }
}

/* One command, by register or from the ring. */
static bool execute_one(struct hwm *h)
{
    struct hwm_cmd cmd;

    if (!h->amd && hwm_vtd_exec_register(h)) {
        return true;
    }
    if (!h->fifo_nr) {
        return false;
    }
    hwm_watch_run(h);
    cmd = take_one(h);
    if (h->amd) {
        hwm_amd_exec(h, &cmd);
    } else {
        hwm_vtd_exec(h, &cmd);
    }
    hwm_watch_run(h);
    return true;
}

size_t hwm_step(struct hwm *h, size_t n)
{
    size_t done = 0;

    if (h->stalled || h->executing) {
        return 0;
    }
    h->executing = true;
    while (done < n) {
        fetch(h);
        if (!execute_one(h)) {
            break;
        }
        done++;
    }
    h->executing = false;
    return done;
}

void hwm_kick(struct hwm *h)
{
    fetch(h);
    if (!h->lazy) {
        hwm_step(h, SIZE_MAX);
    }
}

size_t hwm_pending(const struct hwm *h)
{
    return h->fifo_nr + (h->amd ? 0 : hwm_vtd_register_pending(h));
}

void hwm_set_lazy(struct hwm *h, bool lazy, unsigned polls)
{
    h->lazy = lazy;
    h->polls_per_cmd = polls;
    h->polls = 0;
    hwm_kick(h);
}

void hwm_stall(struct hwm *h, bool stall)
{
    h->stalled = stall;
    hwm_kick(h);
}

void hwm_set_reorder(struct hwm *h, uint32_t seed)
{
    h->reorder = seed;
}

void hwm_poll(struct hwm *h)
{
    if (h->amd) {
        hwm_amd_poll(h);
    }
    if (h->lazy && h->polls_per_cmd && ++h->polls >= h->polls_per_cmd) {
        h->polls = 0;
        hwm_step(h, 1);
    }
}

/* ---- registers ----------------------------------------------------------------------------- */

uint64_t hwm_mmio_size(const struct hwm *h)
{
    unsigned iotlb = h->vtd.cfg.iro * 16 + 16, frcd = h->vtd.cfg.fro * 16 + h->vtd.cfg.nr_frcd * 16;

    return h->amd ? HWM_MMIO_MAX : ((iotlb > frcd ? iotlb : frcd) + 0xfffu) & ~0xfffu;
}

static bool access_ok(struct hwm *h, const char *what, uint64_t off, unsigned size)
{
    if ((size == 4 || size == 8) && !(off & (size - 1)) && off + size <= hwm_mmio_size(h)) {
        return true;
    }
    hwm_violate(h, "%s of %u bytes at register offset 0x%llx", what, size, (unsigned long long)off);
    return false;
}

uint64_t hwm_mmio_read(struct hwm *h, uint64_t off, unsigned size)
{
    uint64_t val;
    unsigned aligned = (unsigned)off & ~7u;

    if (!access_ok(h, "read", off, size)) {
        return ~UINT64_C(0);
    }
    val = h->amd ? hwm_amd_read(h, aligned) : hwm_vtd_read(h, aligned);
    if (size == 8) {
        return val;
    }
    return off & 4 ? val >> 32 : val & UINT32_MAX;
}

void hwm_mmio_write(struct hwm *h, uint64_t off, unsigned size, uint64_t val)
{
    if (!access_ok(h, "write", off, size)) {
        return;
    }
    if (!h->amd && !hwm_vtd_writable(h, (unsigned)off, size)) {
        return;
    }
    if (h->amd) {
        hwm_amd_write(h, (unsigned)off, (uint32_t)val);
        if (size == 8) {
            hwm_amd_write(h, (unsigned)off + 4, (uint32_t)(val >> 32));
        }
        return;
    }
    hwm_vtd_write(h, (unsigned)off, (uint32_t)val);
    if (size == 8) {
        hwm_vtd_write(h, (unsigned)off + 4, (uint32_t)(val >> 32));
    }
}
