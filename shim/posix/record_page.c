/* SPDX-License-Identifier: MIT */
/* The recorder: pages that hardware reads, what it sees of them, and pages that come and go. */
#include "record.h"
#include <pviommu/pool.h>
#include <string.h>

#ifdef PVI_POSIX_RECORD

/* Pages compared at each checkpoint beside those that were touched. */
#define SAMPLE 4u

/* Lists ------------------------------------------------------------------------------------------ */

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

    rec->live[page->live_at] = last;
    rec->page[last].live_at = page->live_at;
    page->state = (uint8_t)state;
    page->dirty = 0;
    page->raw_dirty = false;
}

void rec_page_touch(struct pvi_host *h, uint64_t index)
{
    struct pvi_record *rec = h->rec;

    if (!rec->page[index].touched) {
        rec->page[index].touched = true;
        rec->touched = rec_grow(rec->touched, rec->nr_touched, &rec->room_touched, sizeof(*rec->touched));
        rec->touched[rec->nr_touched++] = (uint32_t)index;
    }
}

/* A hooked store went to the page: some walker does not see it before its line is written back (R1). */
void rec_page_dirty(struct pvi_host *h, uint64_t index, unsigned slot)
{
    struct pvi_record *rec = h->rec;
    struct rec_page *page = &rec->page[index];

    if (page->state == REC_RAW ? !page->raw_dirty : !page->table->noncoherent) {
        return;
    }
    if (page->dirty == 0) {
        rec->dirty = rec_grow(rec->dirty, rec->nr_dirty, &rec->room_dirty, sizeof(*rec->dirty));
        rec->dirty[rec->nr_dirty++] = (uint32_t)index;
    }
    page->dirty |= 1ull << (slot / 8);
    page->dirty_by = rec_me();
}

/* Checks ----------------------------------------------------------------------------------------- */

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
    rec_violation(h, PVI_RULE_R3, "entry %u of live page 0x%llx became 0x%llx without a hook, hardware may have seen 0x%llx",
                  i, (unsigned long long)rec_page_pa(h, index), (unsigned long long)cpu[i],
                  (unsigned long long)seen[i]);
    memcpy(seen, cpu, PVI_PAGE_SIZE);
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
        struct rec_page *page = &rec->page[rec->dirty[i]];

        if (comparable(page) && page->dirty != 0) {
            if (page->dirty_by != rec_me()) {
                i++;
                continue;
            }
            rec_violation(h, PVI_RULE_R1, "lines 0x%llx of page 0x%llx were stored to and not written back %s",
                          (unsigned long long)page->dirty,
                          (unsigned long long)rec_page_pa(h, rec->dirty[i]), when);
            page->dirty = 0;
        }
        rec->dirty[i] = rec->dirty[--rec->nr_dirty];
    }
}

/* Coming and going ------------------------------------------------------------------------------- */

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

    return rec_due_find(page->table, page->iova, last, page->gone, true) != NULL;
}

/* A page goes where it may be used for anything: no unit may know it any more (R4). */
void rec_page_leaves(struct pvi_host *h, uint64_t index, const char *where)
{
    struct rec_page *page = &h->rec->page[index];
    unsigned long long pa = rec_page_pa(h, index);

    if (page->state == REC_LIVE) {
        rec_violation(h, PVI_RULE_R4, "table 0x%llx goes to %s while it is linked for IOVA 0x%llx", pa, where,
                      (unsigned long long)page->iova);
        rec_page_dead(h, index, REC_NONE);
    } else if (page->state == REC_LIMBO) {
        if (rec_page_cached(page)) {
            rec_violation(h, PVI_RULE_R4, "table 0x%llx goes to %s before a unit has forgotten it for IOVA 0x%llx",
                          pa, where, (unsigned long long)page->iova);
        }
        page->state = REC_NONE;
    } else if (page->state == REC_RAW) {
        rec_page_dead(h, index, REC_NONE);
    }
    page->table = NULL;
    if (page->was_live && rec_model_caches(h, pa, PVI_PAGE_SIZE)) {
        rec_violation(h, PVI_RULE_R4, "page 0x%llx goes to %s, and the model still caches something of it", pa,
                      where);
    }
}

void pvi_record_page_free(struct pvi_host *h, uint64_t index, uint64_t nr)
{
    uint64_t i, j;

    pthread_mutex_lock(&h->rec->lock);
    for (i = index; i < index + nr; i++) {
        const uint64_t *content = pvi_posix_page_ptr(h, i);
        struct rec_page *page = &h->rec->page[i];

        rec_page_leaves(h, i, "the host");
        page->was_live = false;
        for (j = 0; j < REC_ENTRIES; j++) {
            if (content[j] != 0) {
                rec_violation(h, PVI_RULE_R22, "page 0x%llx goes to the host unscrubbed, word %u is 0x%llx",
                              (unsigned long long)rec_page_pa(h, i), (unsigned)j, (unsigned long long)content[j]);
                break;
            }
        }
        if (page->maps != 0) {
            rec_violation(h, PVI_RULE_MAP, "page 0x%llx goes to the host and is still mapped %u times",
                          (unsigned long long)rec_page_pa(h, i), page->maps);
            page->maps = 0;
        }
    }
    pthread_mutex_unlock(&h->rec->lock);
}

/* References that all guests hold on frames of a run. */
static void references(struct pvi_host *h, uint64_t first, uint64_t last, int64_t *min, int64_t *max)
{
    struct pvi_hdom *d;
    int64_t low, high;
    unsigned owe;

    *min = *max = 0;
    for (d = h->hdoms; d; d = d->next) {
        pthread_mutex_lock(&d->lock);
        for (owe = PVI_OWE_REF; owe <= PVI_OWE_MAX; owe++) {
            pvi_count_range(&d->count[owe], first, last, &low, &high);
            *min += low;
            *max += high;
        }
        pthread_mutex_unlock(&d->lock);
    }
}

static const struct rec_gone *gone_find(struct pvi_host *h, uint64_t frame)
{
    struct rec_table *t;
    size_t i;

    for (t = h->rec->tables; t; t = t->next) {
        for (i = 0; i < t->nr_gone; i++) {
            if (frame - t->gone[i].frame < t->gone[i].nr) {
                return &t->gone[i];
            }
        }
    }
    return NULL;
}

/*
 * One reference goes. Leaves hold one each, live ones and those that a unit may still cache: when there was exactly
 * one a leaf, none may go.
 */
static void frames_leave(struct pvi_host *h, uint64_t first, uint64_t last)
{
    int64_t refs_min, refs_max, leaves_min, leaves_max;
    const struct rec_gone *gone;
    uint64_t frame = first;

    references(h, first, last, &refs_min, &refs_max);
    pvi_count_range(&h->rec->mapped, first, last, &leaves_min, &leaves_max);
    if (leaves_max == 0) {
        if (rec_model_caches(h, first << PVI_PAGE_LG2, (last - first + 1) << PVI_PAGE_LG2)) {
            rec_violation(h, PVI_RULE_R4, "frames 0x%llx to 0x%llx are put, and the model still caches something of them",
                          (unsigned long long)first, (unsigned long long)last);
        }
        return;
    }
    if (refs_min > leaves_max) {
        return;
    }
    for (frame = first; frame <= last; frame++) {
        pvi_count_range(&h->rec->mapped, frame, frame, &leaves_min, &leaves_max);
        references(h, frame, frame, &refs_min, &refs_max);
        if (leaves_max == 0 || refs_max != leaves_max) {
            continue;
        }
        gone = gone_find(h, frame);
        if (gone) {
            rec_violation(h, PVI_RULE_R4, "frame 0x%llx is put before a unit has forgotten it at IOVA 0x%llx",
                          (unsigned long long)frame, (unsigned long long)gone->first);
        } else {
            rec_violation(h, PVI_RULE_R16, "frame 0x%llx is put while a leaf that owes it is live",
                          (unsigned long long)frame);
        }
        return;
    }
}

void pvi_record_frame_put(struct pvi_host *h, const struct pvi_frames *run)
{
    uint64_t first = run->pa.a >> PVI_PAGE_LG2;

    pthread_mutex_lock(&h->rec->lock);
    frames_leave(h, first, first + run->nr - 1);
    pthread_mutex_unlock(&h->rec->lock);
}

#endif
