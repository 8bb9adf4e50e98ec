/* SPDX-License-Identifier: MIT */
/*
 * The recorder judges the library in every other test; here wrong sequences show that it sees what
 * it must, and right ones that it keeps quiet. This file: stores, pages and frames (R1 to R4, R16,
 * R22).
 */
#include "record_rig.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void right_life(struct rr *r)
{
    unsigned i;

    rr_store(r, r->leaf, 4, rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    rr_store(r, r->leaf, 4, 0);
    for (i = 1; i < 4; i++) {
        rr_store(r, r->leaf, i, 0);
    }
    rr_flush_pages(r, 0, 15, false);
    rr_put(r, 1, 3);
    rr_store(r, r->mid, 0, 0);
    rr_flush_pages(r, 0, 21, false);
    rr_put(r, 0, 1);
    rr_give_back(r, r->leaf);
    pvi_posix_checkpoint(r->h);
    rr_detach(r, RR_RID);
    rr_flush_device(r, RR_RID, false);
    rr_flush_domain(r);
    pvi_posix_checkpoint(r->h);
    pvi_host_did_free(r->h, &r->n.unit, r->did);
    rr_give_back(r, r->mid);
    rr_give_back(r, r->root);
    pvi_posix_check_all(r->h);
    assert_true(pvi_posix_balanced(r->h, NULL));
}

static void line_not_written_back(struct rr *r)
{
    pvi_env_write64(r->h, rr_entry(r, r->leaf, 9), rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    pvi_posix_checkpoint(r->h);
}

static void line_not_written_back_at_submit(struct rr *r)
{
    pvi_env_write64(r->h, rr_entry(r, r->leaf, 8), rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    pvi_env_write64(r->h, rr_entry(r, r->leaf, 7), rr_leaf_to(r, RR_FRAME + 0x11000, 0));
    pvi_env_writeback(r->h, rr_entry(r, r->leaf, 7), 8); /* the line before */
    rr_flush_pages(r, 0, 21, false);
}

static void child_not_written_back(struct rr *r)
{
    pvi_pa child = rr_new_leaf_table(r, 8);

    *rr_entry(r, child, 100) = rr_leaf_to(r, RR_FRAME + 0x10000, 0);
    rr_store(r, r->mid, 1, rr_link_to(r, child, 1));
}

static void attach_not_written_back(struct rr *r)
{
    rr_detach(r, RR_RID);
    rr_flush_device(r, RR_RID, false);
    rr_flush_domain(r);
    *rr_entry(r, r->mid, 1) = rr_link_to(r, rr_new_leaf_table(r, 8), 1);
    assert_int_equal(rr_attach(r, &r->n, RR_RID, 3), 0);
}

static void linked_twice(struct rr *r)
{
    rr_store(r, r->mid, 1, rr_link_to(r, r->leaf, 1));
}

static void linked_from_nowhere(struct rr *r)
{
    pvi_pa nowhere = {RR_BASE + 0xff000};

    rr_store(r, r->mid, 1, rr_link_to(r, nowhere, 1));
}

static void split_into_nothing(struct rr *r)
{
    rr_store(r, r->mid, 1, rr_leaf_to(r, RR_FRAME + 0x200000, 1));
    rr_store(r, r->mid, 1, rr_link_to(r, rr_new_page(r), 1));
}

static void split_elsewhere(struct rr *r)
{
    pvi_pa child = rr_new_page(r);
    unsigned i;

    for (i = 0; i < 512; i++) {
        rr_plain(r, child, i, rr_leaf_to(r, RR_FRAME + 0x200000 + (i ^ 1) * PVI_PAGE_SIZE, 0));
    }
    rr_store(r, r->mid, 1, rr_leaf_to(r, RR_FRAME + 0x200000, 1));
    rr_store(r, r->mid, 1, rr_link_to(r, child, 1));
}

static void filled_after_link(struct rr *r)
{
    pvi_pa child = rr_new_page(r);

    rr_store(r, r->mid, 1, rr_link_to(r, child, 1));
    rr_plain(r, child, 0, rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    pvi_posix_checkpoint(r->h);
}

static void plain_store(struct rr *r)
{
    *rr_entry(r, r->leaf, 5) = rr_leaf_to(r, RR_FRAME + 0x10000, 0);
    pvi_posix_check_all(r->h);
}

static void plain_then_hooked(struct rr *r)
{
    *rr_entry(r, r->leaf, 5) = rr_leaf_to(r, RR_FRAME + 0x10000, 0);
    pvi_env_write64(r->h, rr_entry(r, r->leaf, 5), rr_leaf_to(r, RR_FRAME + 0x10000, 0));
}

static void torn_store(struct rr *r)
{
    pvi_env_write64(r->h, (uint64_t *)(void *)((char *)rr_entry(r, r->root, 100) + 4), 0);
}

static void no_entry(struct rr *r)
{
    rr_store(r, r->leaf, 5,
             rr_leaf_to(r, RR_FRAME, 0) | ((r->flags & RR_AMD) != 0 ? 1ull << 52 : 1ull << 62));
}

static void table_freed_linked(struct rr *r)
{
    memset(rr_entry(r, r->leaf, 0), 0, PVI_PAGE_SIZE);
    pvi_host_page_free(r->h, r->leaf);
}

static void table_freed_unflushed(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_give_back(r, r->leaf);
}

static void table_freed_leaf_only(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_flush_pages(r, 0, 21, true);
    rr_give_back(r, r->leaf);
}

static void table_freed_other_did(struct rr *r)
{
    rr_drop_leaf_table(r);
    r->did++;
    rr_flush_domain(r);
    r->did--;
    rr_give_back(r, r->leaf);
}

static void table_freed_half_flushed(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_flush_pages(r, 0, 20, false);
    rr_give_back(r, r->leaf);
}

static void table_freed_flushed_before(struct rr *r)
{
    rr_flush_domain(r);
    rr_drop_leaf_table(r);
    rr_give_back(r, r->leaf);
}

static void table_freed_unwaited(struct rr *r)
{
    struct pvi_inv inv = {.kind = PVI_INV_DOMAIN, .did = r->did};

    rr_drop_leaf_table(r);
    rr_told(r, inv);
    rr_give_back(r, r->leaf);
}

static void table_freed_wait_failed(struct rr *r)
{
    struct pvi_inv inv = {.kind = PVI_INV_DOMAIN, .did = r->did};

    rr_drop_leaf_table(r);
    rr_told(r, inv);
    r->n.fail_wait = true;
    assert_int_equal(pvi_host_inv_wait(r->h, &r->n.unit), -PVI_EHW);
    rr_give_back(r, r->leaf);
}

static void table_freed_one_unit_of_two(struct rr *r)
{
    assert_int_equal(rr_attach(r, &r->other, RR_RID, 3), 0);
    rr_drop_leaf_table(r);
    rr_flush_domain(r);
    rr_give_back(r, r->leaf);
}

static void table_linked_again(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_store(r, r->mid, 1, rr_link_to(r, r->leaf, 1));
}

static void table_written_in_limbo(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_store(r, r->leaf, 0, 0);
}

static void table_scrubbed_in_limbo(struct rr *r)
{
    rr_drop_leaf_table(r);
    *rr_entry(r, r->leaf, 0) = 0;
    rr_flush_domain(r);
}

static void lower_table_freed_unflushed(struct rr *r)
{
    rr_store(r, r->root, 0, 0);
    rr_flush_pages(r, 0, 21, false); /* the link covers 1 GiB */
    rr_flush_pages(r, 0x200000, 21, false);
    rr_give_back(r, r->mid);
}

static void frame_put_unflushed(struct rr *r)
{
    rr_store(r, r->leaf, 2, 0);
    rr_put(r, 2, 1);
}

static void frame_put_other_page_flushed(struct rr *r)
{
    rr_store(r, r->leaf, 2, 0);
    rr_flush_pages(r, 0x3000, 12, false);
    rr_put(r, 2, 1);
}

static void frame_of_dropped_table_put(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_put(r, 3, 1);
}

static void frame_put_live(struct rr *r)
{
    rr_put(r, 2, 1);
}

/* A leaf that owes nothing leads to the same frame: an unused reference can still go. */
static void frame_put_unused(struct rr *r)
{
    uint64_t owe = (r->flags & RR_AMD) != 0 ? 2 : 0x10000000000000ull;
    struct pvi_frames f;
    pvi_gfn g = {2};

    rr_store(r, r->leaf, 5, rr_leaf_to(r, RR_FRAME + 0x2000, 0) & ~owe);
    assert_int_equal(pvi_host_frame_get(r->h, r->d, g, 1, PVI_RW, &f), 0);
    rr_put(r, 2, 1);
}

static void pool_put(struct rr *r)
{
    struct pvi_pool pool = {.host = r->h};
    struct pvi_page *page = pvi_env_page(r->h, r->leaf);

    pvi_env_lock_init(r->h, &pool.lock, PVI_LOCK_POOL);
    rr_drop_leaf_table(r);
    pvi_env_acquire(r->h, &pool.lock);
    page->pa = r->leaf;
    page->dirty = true;
    pool.free = page;
    pool.nr_free = 1;
    pvi_env_release(r->h, &pool.lock);
}

static void pool_put_as_clean(struct rr *r)
{
    struct pvi_pool pool = {.host = r->h};
    struct pvi_page *page = pvi_env_page(r->h, r->leaf);

    pvi_env_lock_init(r->h, &pool.lock, PVI_LOCK_POOL);
    rr_drop_leaf_table(r);
    rr_flush_domain(r);
    pvi_env_acquire(r->h, &pool.lock);
    page->pa = r->leaf;
    pool.free = page;
    pool.nr_free = 1;
    pvi_env_release(r->h, &pool.lock);
}

static bool caches(void *opaque, uint64_t pa, uint64_t len)
{
    uint64_t at = *(const uint64_t *)opaque;

    return at >= pa && at < pa + len;
}

static void model_caches_table(struct rr *r)
{
    uint64_t at = r->leaf.a;
    struct pvi_posix_model m = {.caches = caches, .opaque = &at};

    pvi_posix_model(r->h, &r->n.unit, &m);
    rr_drop_leaf_table(r);
    rr_flush_domain(r);
    rr_put(r, 0, 4);
    rr_give_back(r, r->leaf);
}

static void model_caches_frame(struct rr *r)
{
    uint64_t at = RR_FRAME + 0x3000;
    struct pvi_posix_model m = {.caches = caches, .opaque = &at};

    pvi_posix_model(r->h, &r->n.unit, &m);
    rr_drop_leaf_table(r);
    rr_flush_domain(r);
    rr_put(r, 0, 4);
}

/* Asks for a domain id, as any function of pviommu/host.h could be asked, and for a poll, with one lock held. */
static void asked_with_lock(struct rr *r, enum pvi_lock_class held, bool poll)
{
    pvi_env_lock lock;
    uint16_t did;

    pvi_env_lock_init(r->h, &lock, held);
    pvi_env_acquire(r->h, &lock);
    assert_true(poll ? pvi_host_poll(r->h, 0) : pvi_host_did_alloc(r->h, &r->n.unit, &did) == 0);
    pvi_env_release(r->h, &lock);
}

static void host_with_lock(struct rr *r)
{
    asked_with_lock(r, PVI_LOCK_CONTEXT, false);
}

static void poll_with_context(struct rr *r)
{
    asked_with_lock(r, PVI_LOCK_CONTEXT, true);
}

static void poll_with_unit(struct rr *r)
{
    asked_with_lock(r, PVI_LOCK_UNIT, true);
}

static void unscrubbed_to_host(struct rr *r)
{
    pvi_pa pa = rr_new_page(r);

    *rr_entry(r, pa, 511) = 1;
    pvi_host_page_free(r->h, pa);
}

static void unscrubbed_to_table(struct rr *r)
{
    pvi_pa pa;

    assert_int_equal(pvi_host_page_alloc(r->h, &pa), 0);
    memset(rr_entry(r, pa, 0), 0, 511 * 8);
    rr_write_back(r, rr_entry(r, pa, 0), PVI_PAGE_SIZE);
    rr_store(r, r->mid, 1, rr_link_to(r, pa, 1));
}

/* A large leaf becomes a table of small ones: the frames keep the references that they have. */
static void split_large(struct rr *r)
{
    pvi_pa child = rr_new_page(r);
    struct pvi_frames f;
    pvi_gfn g = {512};
    unsigned i;

    assert_int_equal(pvi_host_frame_get(r->h, r->d, g, 512, PVI_RW, &f), 0);
    rr_store(r, r->mid, 1, rr_leaf_to(r, RR_FRAME + 0x200000, 1));
    rr_flush_pages(r, 0x200000, 21, false);
    for (i = 0; i < 512; i++) {
        rr_plain(r, child, i, rr_leaf_to(r, RR_FRAME + 0x200000 + i * PVI_PAGE_SIZE, 0));
    }
    rr_store(r, r->mid, 1, rr_link_to(r, child, 1));
    rr_store(r, child, 7, 0);
}

static void split_in_order(struct rr *r)
{
    split_large(r);
    rr_flush_pages(r, 0x200000, 21, false);
    rr_put(r, 512 + 7, 1);
    pvi_posix_checkpoint(r->h);
}

/* The large leaf that may still be cached leads to the page as well. */
static void split_flushed_elsewhere(struct rr *r)
{
    split_large(r);
    rr_flush_pages(r, 0x208000, 12, false);
    rr_put(r, 512 + 7, 1);
}

/* Enough for the page that is put, not for the return to the guest. */
static void split_flushed_in_part(struct rr *r)
{
    split_large(r);
    rr_flush_pages(r, 0x207000, 12, false);
    rr_put(r, 512 + 7, 1);
    pvi_posix_checkpoint(r->h);
}

/* While the last device leaves, a change still needs what it needs, and no more. */
static void changed_while_leaving(struct rr *r)
{
    rr_detach(r, RR_RID);
    rr_store(r, r->leaf, 1, 0);
    rr_flush_pages(r, 0x1000, 12, true);
    rr_put(r, 1, 1);
    rr_store(r, r->leaf, 2, 0);
    rr_flush_device(r, RR_RID, false);
    rr_flush_domain(r);
    rr_put(r, 2, 1);
    pvi_posix_checkpoint(r->h);
}

/* A device of another unit comes: the first one has nothing to hear of it. */
static void second_unit_joins(struct rr *r)
{
    struct pvi_inv inv[2] = {{.kind = PVI_INV_DEVICE, .rid = RR_RID, .did = r->did},
                             {.kind = PVI_INV_DOMAIN, .did = r->did}};

    inv[0].was_absent = (r->flags & RR_AMD) == 0;
    assert_int_equal(rr_attach(r, &r->other, RR_RID, 3), 0);
    assert_int_equal(pvi_host_inv_submit(r->h, &r->other.unit, inv, 2), 0);
    assert_int_equal(pvi_host_inv_wait(r->h, &r->other.unit), 0);
    pvi_posix_checkpoint(r->h);
}

#define CASE(run, rule, need, never)                                                               \
    {                                                                                              \
#run, run, PVI_RULE_##rule, need, never                                                    \
    }

static const struct rr_case cases[] = {
    CASE(right_life, NONE, 0, RR_NP | RR_WBUF),
    CASE(line_not_written_back, R1, RR_NONCOHERENT, RR_NP | RR_WBUF),
    CASE(line_not_written_back_at_submit, R1, RR_NONCOHERENT, 0),
    CASE(child_not_written_back, R1, RR_NONCOHERENT, 0),
    CASE(attach_not_written_back, R1, RR_NONCOHERENT, 0),
    CASE(linked_twice, R2, 0, 0),
    CASE(linked_from_nowhere, R2, 0, 0),
    CASE(split_into_nothing, R2, 0, 0),
    CASE(split_elsewhere, R2, 0, 0),
    CASE(filled_after_link, R3, 0, RR_NP | RR_WBUF),
    CASE(plain_store, R3, 0, 0),
    CASE(plain_then_hooked, R3, 0, 0),
    CASE(torn_store, R3, 0, 0),
    CASE(no_entry, R3, 0, 0),
    CASE(table_freed_linked, R4, 0, 0),
    CASE(table_freed_unflushed, R4, 0, 0),
    CASE(table_freed_leaf_only, R4, 0, 0),
    CASE(table_freed_other_did, R4, 0, 0),
    CASE(table_freed_half_flushed, R4, 0, 0),
    CASE(table_freed_flushed_before, R4, 0, 0),
    CASE(table_freed_unwaited, R4, 0, 0),
    CASE(table_freed_wait_failed, R4, 0, 0),
    CASE(table_freed_one_unit_of_two, R4, 0, 0),
    CASE(table_linked_again, R4, 0, 0),
    CASE(table_written_in_limbo, R4, 0, 0),
    CASE(table_scrubbed_in_limbo, R4, 0, 0),
    CASE(lower_table_freed_unflushed, R4, 0, 0),
    CASE(frame_put_unflushed, R4, 0, 0),
    CASE(frame_put_other_page_flushed, R4, 0, 0),
    CASE(frame_of_dropped_table_put, R4, 0, 0),
    CASE(frame_put_unused, NONE, 0, 0),
    CASE(frame_put_live, R16, 0, 0),
    CASE(pool_put, R4, 0, 0),
    CASE(pool_put_as_clean, R22, 0, 0),
    CASE(model_caches_table, R4, 0, 0),
    CASE(model_caches_frame, R4, 0, 0),
    CASE(host_with_lock, LOCK, 0, 0),
    CASE(poll_with_context, LOCK, 0, 0),
    CASE(poll_with_unit, NONE, 0, 0),
    CASE(unscrubbed_to_host, R22, 0, 0),
    CASE(unscrubbed_to_table, R22, 0, 0),
    CASE(split_in_order, NONE, 0, 0),
    CASE(split_flushed_elsewhere, R4, 0, 0),
    CASE(split_flushed_in_part, R5, 0, 0),
    CASE(changed_while_leaving, NONE, 0, 0),
    CASE(second_unit_joins, NONE, 0, 0),
};

static void each_case(void **state)
{
    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    assert_int_equal(rr_run(cases, sizeof(cases) / sizeof(cases[0])), 0);
}

/* Unless a test asks otherwise, the first violation ends the program. */
static void violation_aborts(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rr r;

        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr)) {
            _exit(1);
        }
        rr_init(&r, 0);
        pvi_posix_count_violations(r.h, false);
        table_freed_unflushed(&r);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* A tree that no device translates through is judged when a test names it. */
static void named_root(void **state)
{
    struct rr r;
    pvi_pa root;

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    rr_init(&r, 0);
    root = rr_new_page(&r);
    pvi_posix_track_root(r.h, r.n.unit.caps.format, 1, root, true);
    rr_store(&r, root, 0, rr_leaf_to(&r, RR_FRAME, 0));
    rr_store(&r, root, 0, 0);
    pvi_posix_checkpoint(r.h);
    assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_NONE, NULL), 0);
    *rr_entry(&r, root, 1) = 1;
    pvi_posix_checkpoint(r.h);
    assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_R3, NULL), 1);
    pvi_posix_bind_root(r.h, &r.n.unit, 77, root);
    rr_store(&r, root, 1, 0);
    pvi_posix_checkpoint(r.h);
    assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_R6, NULL), 1);
    r.did = 77;
    rr_flush_domain(&r);
    pvi_posix_unbind_root(r.h, &r.n.unit, 77, root);
    rr_flush_domain(&r);
    pvi_posix_checkpoint(r.h);
    pvi_posix_untrack_root(r.h, root);
    rr_give_back(&r, root);
    assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_NONE, NULL), 2);
    rr_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case),
        cmocka_unit_test(violation_aborts),
        cmocka_unit_test(named_root),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
