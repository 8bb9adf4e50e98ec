/* SPDX-License-Identifier: MIT */
/*
 * The machine: RAM, and a VT-d unit that walks what lies there. Whatever it has once looked at it keeps, absent entries
 * included (caching mode), until an invalidation names it. It shares no code with the library but the env header.
 */
#include "tiny.h"

#define ADDR 0x000ffffffffff000ull
#define LINES 512u

unsigned char hw_ram[HW_PAGES * PVI_PAGE_SIZE] __attribute__((aligned(4096)));

/* What is cached of a requester's context entry. */
struct context_line {
    bool used, present;
    uint16_t did;
    uint8_t levels;
    uint64_t root;
};

/* A page's leaf, 0 if there is none; or the last table on the way to 2 MiB. */
struct line {
    bool used;
    uint16_t did;
    uint64_t iova, value;
};

static struct {
    bool on;
    uint64_t root, queue;
    uint32_t head, tail;
    struct context_line context[256]; /* bus 0 */
    struct line leaf[LINES], table[LINES];
} unit;

static uint64_t load(uint64_t pa)
{
    PVI_ASSERT(pa < sizeof(hw_ram));
    return pvi_env_read64((const uint64_t *)(const void *)(hw_ram + pa));
}

/* Walks ---------------------------------------------------------------------------------------- */

static struct context_line *context(uint16_t rid)
{
    struct context_line *c = &unit.context[rid];
    uint64_t table, lo, hi;

    PVI_ASSERT(rid < 256);
    if (!c->used) {
        table = load(unit.root);
        lo = table & 1 ? load((table & ADDR) + 16 * rid) : 0;
        hi = lo & 1 ? load((table & ADDR) + 16 * rid + 8) : 0;
        *c = (struct context_line){true, lo & 1, (uint16_t)(hi >> 8), (uint8_t)((hi & 7) + 2), lo & ADDR};
    }
    return c;
}

/* The line for an address, or a fresh one. */
static struct line *find(struct line *cache, uint16_t did, uint64_t iova)
{
    struct line *fresh = NULL;
    unsigned i;

    for (i = 0; i < LINES; i++) {
        if (cache[i].used && cache[i].did == did && cache[i].iova == iova) {
            return &cache[i];
        }
        fresh = fresh || cache[i].used ? fresh : &cache[i];
    }
    PVI_ASSERT(fresh); /* it never forgets by itself */
    fresh->did = did;
    fresh->iova = iova;
    return fresh;
}

/* The leaf behind an address, as if it were one of 4 KiB; 0: there is none. */
static uint64_t walk(const struct context_line *c, uint64_t iova)
{
    struct line *leaf = find(unit.leaf, c->did, iova >> 12 << 12);
    struct line *table = find(unit.table, c->did, iova >> 21 << 21);
    unsigned level = table->used ? 0 : c->levels - 1u;
    uint64_t at = table->used ? table->value : c->root, entry = 0;

    while (!leaf->used) {
        if (level == 0) {
            table->used = true;
            table->value = at;
        }
        entry = load(at + 8 * (iova >> (12 + 9 * level) & 511));
        at = entry & ADDR;
        if (level == 0 || (entry & PVI_RW) == 0 || (entry & 0x80) != 0) {
            leaf->used = true;
            leaf->value = (entry & PVI_RW) != 0 ? entry + (iova & ((0x1000ull << 9 * level) - 0x1000)) : 0;
        }
        level--;
    }
    return leaf->value;
}

bool hw_dma(uint16_t rid, uint64_t iova, bool write, uint64_t *pa)
{
    const struct context_line *c = unit.on ? context(rid) : NULL;
    uint64_t leaf = c && c->present && iova >> (12 + 9 * c->levels) == 0 ? walk(c, iova) : 0;

    *pa = c ? (leaf & ADDR) | (iova & PVI_PAGE_MASK) : iova;
    return !c || (leaf & (write ? PVI_WRITE : PVI_READ)) != 0;
}

bool hw_caches(uint64_t pa)
{
    bool found = false;
    unsigned i;

    for (i = 0; i < 256; i++) {
        found |= unit.context[i].used && unit.context[i].present && unit.context[i].root == pa;
    }
    for (i = 0; i < LINES; i++) {
        found |= unit.leaf[i].used && unit.leaf[i].value != 0 && (unit.leaf[i].value & ADDR) == pa;
        found |= unit.table[i].used && unit.table[i].value == pa;
    }
    return found;
}

/* Invalidations -------------------------------------------------------------------------------- */

/* Descriptors say how much: 1 everything, 2 a domain id, 3 one requester of it, or some pages. */
static void forget_contexts(uint64_t d)
{
    unsigned i, how = d >> 4 & 3;

    for (i = 0; i < 256; i++) {
        bool same = unit.context[i].did == (uint16_t)(d >> 16);

        if (how == 1 || (same && (how == 2 || i == (d >> 32 & 0xffff)))) {
            unit.context[i].used = false;
        }
    }
}

static void forget_lines(struct line *cache, uint64_t d, uint64_t where, unsigned shift)
{
    unsigned i, how = d >> 4 & 3;

    for (i = 0; i < LINES; i++) {
        bool same = cache[i].did == (uint16_t)(d >> 16);

        if (how == 1 || (same && (how == 2 || cache[i].iova >> shift == where >> shift))) {
            cache[i].used = false;
        }
    }
}

void hw_step(void)
{
    uint64_t d, where, shift;

    if (unit.head == unit.tail) {
        return;
    }
    d = load(unit.queue + 16 * unit.head);
    where = load(unit.queue + 16 * unit.head + 8);
    shift = 12 + (where & 0x3f);
    if ((d & 0xf) == 1) {
        forget_contexts(d);
    } else if ((d & 0xf) == 2) {
        forget_lines(unit.leaf, d, where, (unsigned)shift);
        if ((d >> 4 & 3) != 3 || (where & 0x40) == 0) { /* IH: tables may stay */
            forget_lines(unit.table, d, where, shift < 21 ? 21 : (unsigned)shift);
        }
    } else if ((d & 0xf) == 5 && (d & 0x20) != 0) {
        pvi_env_write32((uint32_t *)(void *)(hw_ram + where), (uint32_t)(d >> 32));
    }
    unit.head = (unit.head + 1) % HW_QUEUE_SLOTS;
}

void hw_queue_tail(uint32_t slot)
{
    unit.tail = slot;
}

uint32_t hw_queue_head(void)
{
    return unit.head;
}

void hw_unit_on(uint64_t root, uint64_t queue)
{
    memset(&unit, 0, sizeof(unit));
    unit.root = root;
    unit.queue = queue;
    unit.on = true;
}

void hw_unit_off(void)
{
    memset(&unit, 0, sizeof(unit));
}
