/* SPDX-License-Identifier: MIT */
/* The recorder: pages that hardware reads, what it sees of them, and pages that come and go. */
#include "record.h"
#include <pviommu/pool.h>
#include <string.h>

#ifdef PVI_POSIX_RECORD

/* Pages compared at each checkpoint beside those that were touched. */
#define SAMPLE 4u

/* Lists --------------------------------------------------------------------------------------- */

void rec_page_live(struct pvi_host *h, uint64_t index, enum rec_state state)
{
    struct pvi_record *rec = h->rec;

    rec->page[index].state = (uint8_t)state;
    rec->page[index].was_live = true;
    rec->page[index].live_at = (uint32_t)rec->nr_live;
    rec->live[rec->nr_live++] = (uint32_t)index;
    rec_page_touch(h, index);
}

/* Takes a LIVE or RAW page out of the list. */
void rec_page_dead(struct pvi_host *h, uint64_t index, enum rec_state state)
{
    struct pvi_record *rec = h->rec;
    struct rec_page *page = &rec->page[index];
    uint32_t last = rec->live[--rec->nr_live];
    unsigned line;

    for (line = 0; page->dirty != 0; line++) {
        rec_page_clean(h, index, line);
    }
    rec->live[page->live_at] = last;
    rec->page[last].live_at = page->live_at;
    page->state = (uint8_t)state;
    page->raw_dirty = false;
}

void rec_page_touch(struct pvi_host *h, uint64_t index)
{
    struct pvi_record *rec = h->rec;

    if (!rec->page[index].touched) {
        rec->page[index].touched = true;
        rec->touched =
            rec_grow(rec->touched, rec->nr_touched, &rec->room_touched, sizeof(*rec->touched));
        rec->touched[rec->nr_touched++] = (uint32_t)index;
    }
}

static struct rec_line *dirty_find(struct pvi_record *rec, uint64_t index, unsigned line)
{
    size_t i;

    for (i = rec->nr_dirty; i-- > 0;) {
        if (rec->dirty[i].index == index && rec->dirty[i].line == line) {
            return &rec->dirty[i];
        }
    }
    return NULL;
}

static void line_dirty(struct pvi_host *h, uint64_t index, unsigned line, uintptr_t by)
{
    struct pvi_record *rec = h->rec;
    struct rec_page *page = &rec->page[index];
    struct rec_line *d;

    if ((page->dirty & 1ull << line) != 0) {
        d = dirty_find(rec, index, line);
    } else {
        rec->dirty = rec_grow(rec->dirty, rec->nr_dirty, &rec->room_dirty, sizeof(*rec->dirty));
        d = &rec->dirty[rec->nr_dirty++];
    }
    d->index = (uint32_t)index;
    d->line = line;
    d->by = by;
    page->dirty |= 1ull << line;
}

/* A hooked store: some walker does not see it before its line is written back (R1). */
void rec_page_dirty(struct pvi_host *h, uint64_t index, unsigned slot)
{
    const struct rec_page *page = &h->rec->page[index];

    if (page->state == REC_RAW ? page->raw_dirty : page->table->noncoherent) {
        line_dirty(h, index, slot / 8, rec_me());
    }
}

/*
 * A table gets a walker that does not snoop. It may have been in use before, without one: another
 * thread can be between its store and its write-back, and is asked later.
 */
bool rec_page_written_back(struct pvi_host *h, uint64_t index)
{
    const unsigned char *cpu = pvi_posix_page_ptr(h, index), *dram = rec_dram(h, index);
    uintptr_t by = h->rec->page[index].stored;
    unsigned line;

    if (memcmp(cpu, dram, PVI_PAGE_SIZE) == 0) {
        return true;
    }
    if (by == 0 || by == rec_me()) {
        return false;
    }
    for (line = 0; line < PVI_PAGE_SIZE / 64; line++) {
        if (memcmp(cpu + 64 * line, dram + 64 * line, 64) != 0) {
            line_dirty(h, index, line, by);
        }
    }
    return true;
}

void rec_page_clean(struct pvi_host *h, uint64_t index, unsigned line)
{
    struct pvi_record *rec = h->rec;
    struct rec_page *page = &rec->page[index];
    struct rec_line *d;

    if ((page->dirty & 1ull << line) != 0) {
        page->dirty &= ~(1ull << line);
        d = dirty_find(rec, index, line);
        *d = rec->dirty[--rec->nr_dirty];
    }
}

/* Checks -------------------------------------------------------------------------------------- */

static void compare_page(struct pvi_host *h, uint64_t index)
{
    const uint64_t *cpu = pvi_posix_page_ptr(h, index);
    uint64_t *seen = (uint64_t *)(void *)rec_seen(h, index);
    unsigned i;

    if (memcmp(cpu, seen, PVI_PAGE_SIZE) == 0) {
        return;
    }
    for (i = 0; cpu[i] == seen[i]; i++) {
    }
    rec_violation(
        h, PVI_RULE_R3,
        "entry %u of live page 0x%llx became 0x%llx without a hook, hardware may have seen 0x%llx",
        i, (unsigned long long)rec_page_pa(h, index), (unsigned long long)cpu[i],
        (unsigned long long)seen[i]);
    memcpy(seen, cpu, PVI_PAGE_SIZE);
}

/*
 * A leaf that is repeated changes slot by slot, but by now it must be whole (hwspec 6.9): hardware
 * takes any one slot for all of it. Where another thread stored last it may be at it right now.
 */
static void check_groups(struct pvi_host *h, uint64_t index, bool all)
{
    const struct rec_page *page = &h->rec->page[index];
    const uint64_t *table = pvi_posix_page_ptr(h, index);
    unsigned slot;

    if (page->state != REC_LIVE || (!all && page->stored != rec_me())) {
        return;
    }
    slot = rec_torn(&page->table->rules, table, page->level);
    if (slot < REC_ENTRIES) {
        rec_violation(h, PVI_RULE_R3,
                      "entry %u of live page 0x%llx, 0x%llx, is not repeated in all its slots", slot,
                      (unsigned long long)rec_page_pa(h, index), (unsigned long long)table[slot]);
    }
}

static bool comparable(const struct rec_page *page)
{
    return page->state == REC_LIVE || page->state == REC_RAW;
}

void rec_check_pages(struct pvi_host *h, bool all)
{
    struct pvi_record *rec = h->rec;
    size_t i, nr = all ? rec->nr_live : SAMPLE;

    for (i = 0; i < rec->nr_touched; i++) {
        struct rec_page *page = &rec->page[rec->touched[i]];

        page->touched = false;
        if (comparable(page)) {
            compare_page(h, rec->touched[i]);
            check_groups(h, rec->touched[i], all);
        }
    }
    rec->nr_touched = 0;
    for (i = 0; i < nr && rec->nr_live != 0; i++) {
        rec->sample = rec->sample + 1 < rec->nr_live ? rec->sample + 1 : 0;
        compare_page(h, rec->live[rec->sample]);
    }
}

/* Lines that this thread stored to must be written back by now (R1). */
void rec_check_dirty(struct pvi_host *h, const char *when)
{
    struct pvi_record *rec = h->rec;
    size_t i = 0;

    while (i < rec->nr_dirty) {
        struct rec_line d = rec->dirty[i];

        if (d.by != rec_me()) {
            i++;
            continue;
        }
        rec_violation(h, PVI_RULE_R1,
                      "line %u of page 0x%llx was stored to and not written back %s", d.line,
                      (unsigned long long)rec_page_pa(h, d.index), when);
        rec_page_clean(h, d.index, d.line);
    }
}

/* Coming and going ---------------------------------------------------------------------------- */

void pvi_record_page_alloc(struct pvi_host *h, uint64_t index, uint64_t nr)
{
    pthread_mutex_lock(&h->rec->lock);
    memset(pvi_posix_page_ptr(h, index), (int)(REC_POISON & 0xff), nr << PVI_PAGE_LG2);
    memset(rec_dram(h, index), (int)(REC_POISON & 0xff), nr << PVI_PAGE_LG2);
    pthread_mutex_unlock(&h->rec->lock);
}

/* A LIMBO page: may some unit still cache it? */
bool rec_page_cached(const struct rec_page *page)
{
    uint64_t last = page->iova + (((uint64_t)REC_ENTRIES << rec_shift(page->level)) - 1);

    return rec_due_find(page->table, page->iova, last, page->gone, page->by, true) != NULL;
}

/* A page goes where it may be used for anything: no unit may know it any more (R4). */
void rec_page_leaves(struct pvi_host *h, uint64_t index, const char *where)
{
    struct rec_page *page = &h->rec->page[index];
    unsigned long long pa = rec_page_pa(h, index);

    if (page->state == REC_LIVE) {
        rec_violation(h, PVI_RULE_R4, "table 0x%llx goes to %s while it is linked for IOVA 0x%llx",
                      pa, where, (unsigned long long)page->iova);
        rec_page_dead(h, index, REC_NONE);
    } else if (page->state == REC_LIMBO) {
        if (rec_page_cached(page)) {
            rec_violation(h, PVI_RULE_R4,
                          "table 0x%llx goes to %s before a unit has forgotten it for IOVA 0x%llx",
                          pa, where, (unsigned long long)page->iova);
        }
        page->state = REC_NONE;
    } else if (page->state == REC_RAW) {
        rec_page_dead(h, index, REC_NONE);
    }
    page->table = NULL;
}

/* The same, asked of the model. */
void rec_page_forgotten(struct pvi_host *h, uint64_t index, const char *where)
{
    if (h->rec->page[index].was_live && rec_model_caches(h, rec_page_pa(h, index), PVI_PAGE_SIZE)) {
        rec_violation(h, PVI_RULE_R4,
                      "page 0x%llx goes to %s, and the model still caches something of it",
                      (unsigned long long)rec_page_pa(h, index), where);
    }
}

void pvi_record_page_free(struct pvi_host *h, uint64_t index, uint64_t nr)
{
    uint64_t i, j;

    for (i = index; i < index + nr; i++) {
        rec_page_forgotten(h, i, "the host");
    }
    pthread_mutex_lock(&h->rec->lock);
    for (i = index; i < index + nr; i++) {
        const uint64_t *content = pvi_posix_page_ptr(h, i);
        struct rec_page *page = &h->rec->page[i];

        rec_page_leaves(h, i, "the host");
        page->was_live = false;
        page->stored = 0;
        for (j = 0; j < REC_ENTRIES; j++) {
            if (content[j] != 0) {
                rec_violation(h, PVI_RULE_R22,
                              "page 0x%llx goes to the host unscrubbed, word %u is 0x%llx",
                              (unsigned long long)rec_page_pa(h, i), (unsigned)j,
                              (unsigned long long)content[j]);
                break;
            }
        }
        if (page->maps != 0) {
            rec_violation(h, PVI_RULE_MAP,
                          "page 0x%llx goes to the host and is still mapped %u times",
                          (unsigned long long)rec_page_pa(h, i), page->maps);
            page->maps = 0;
        }
    }
    pthread_mutex_unlock(&h->rec->lock);
}

static const struct rec_gone *gone_find(struct pvi_host *h, uint64_t frame)
{
    struct rec_table *t;
    size_t i;

    for (t = h->rec->tables; t; t = t->next) {
        for (i = 0; i < t->nr_gone; i++) {
            if (t->gone[i].owes && frame - t->gone[i].frame < t->gone[i].nr) {
                return &t->gone[i];
            }
        }
    }
    return NULL;
}

/* A frame of which all references belong to leaves loses one. */
static void frame_leaves(struct pvi_host *h, uint64_t frame)
{
    const struct rec_gone *gone = gone_find(h, frame);

    if (gone) {
        rec_violation(h, PVI_RULE_R4,
                      "frame 0x%llx is put before a unit has forgotten it at IOVA 0x%llx",
                      (unsigned long long)frame, (unsigned long long)gone->first);
    } else {
        rec_violation(h, PVI_RULE_R16, "frame 0x%llx is put while a leaf that owes it is live",
                      (unsigned long long)frame);
    }
}

/*
 * A leaf that owes holds one reference, a live one as well as one that a unit may still cache:
 * where there is exactly one a leaf, none may go.
 */
static void frames_leave(struct pvi_host *h, uint64_t first, uint64_t last)
{
    uint64_t frame;
    int64_t min, max, spare;

    pvi_count_range(&h->rec->spare, first, last, &min, &max);
    for (frame = first; min <= 0 && frame <= last; frame++) {
        pvi_count_range(&h->rec->spare, frame, frame, &spare, &max);
        if (spare <= 0) {
            frame_leaves(h, frame);
            return;
        }
    }
}

/* Frames that no leaf leads to must be forgotten by the model too. */
static void frames_forgotten(struct pvi_host *h, uint64_t first, uint64_t last)
{
    int64_t min, max;

    pthread_mutex_lock(&h->rec->lock);
    pvi_count_range(&h->rec->mapped, first, last, &min, &max);
    pthread_mutex_unlock(&h->rec->lock);
    if (max == 0 &&
        rec_model_caches(h, first << PVI_PAGE_LG2, (last - first + 1) << PVI_PAGE_LG2)) {
        rec_violation(
            h, PVI_RULE_R4,
            "frames 0x%llx to 0x%llx are put, and the model still caches something of them",
            (unsigned long long)first, (unsigned long long)last);
    }
}

static void frames(struct pvi_host *h, const struct pvi_frames *run, int64_t delta)
{
    uint64_t first = run->pa.a >> PVI_PAGE_LG2;

    pthread_mutex_lock(&h->rec->lock);
    if (delta < 0) {
        frames_leave(h, first, first + run->nr - 1);
    }
    pvi_count_add(&h->rec->spare, first, first + run->nr - 1, delta);
    pthread_mutex_unlock(&h->rec->lock);
}

void pvi_record_frame_get(struct pvi_host *h, const struct pvi_frames *run)
{
    frames(h, run, 1);
}

void pvi_record_frame_put(struct pvi_host *h, const struct pvi_frames *run)
{
    uint64_t first = run->pa.a >> PVI_PAGE_LG2;

    frames_forgotten(h, first, first + run->nr - 1);
    frames(h, run, -1);
}

#endif
