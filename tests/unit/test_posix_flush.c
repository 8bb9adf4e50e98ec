/* SPDX-License-Identifier: MIT */
/*
 * The recorder, as in test_posix_record.c: invalidations, devices, domain ids, locks (R5 to R9,
 * R11, R13, R20).
 */
#include "record_rig.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void return_flushed_in_part(struct rr *r)
{
    rr_store(r, r->leaf, 2, 0);
    rr_store(r, r->leaf, 3, 0);
    rr_flush_pages(r, 0x2000, 12, false);
    pvi_posix_checkpoint(r->h);
}

static void return_flushed_too_narrowly(struct rr *r)
{
    rr_drop_leaf_table(r);
    rr_flush_pages(r, 0, 21, true);
    pvi_posix_checkpoint(r->h);
}

static void return_unwaited(struct rr *r)
{
    struct pvi_inv inv = {.kind = PVI_INV_ALL};

    rr_store(r, r->leaf, 2, 0);
    rr_told(r, inv);
    pvi_posix_checkpoint(r->h);
}

static void return_unflushed(struct rr *r)
{
    rr_store(r, r->leaf, 2, rr_leaf_to(r, RR_FRAME + 0x9000, 0)); /* another frame */
    pvi_posix_checkpoint(r->h);
}

static void return_unflushed_rights(struct rr *r)
{
    rr_store(r, r->leaf, 2,
             rr_leaf_to(r, RR_FRAME + 0x2000, 0) & ~((r->flags & RR_AMD) != 0 ? 1ull << 62 : 2ull));
    pvi_posix_checkpoint(r->h);
}

/* Software's bits and accessed/dirty need no flush. */
static void ignored_bits(struct rr *r)
{
    bool is_amd = (r->flags & RR_AMD) != 0;

    rr_store(r, r->leaf, 2,
             rr_leaf_to(r, RR_FRAME + 0x2000, 0) | (is_amd ? 0x66 : 0x30000000000300ull));
    pvi_posix_checkpoint(r->h);
}

static void preempted_unflushed(struct rr *r)
{
    rr_store(r, r->leaf, 2, 0);
    pvi_posix_fail(r->h, PVI_AT_PREEMPT, 1, false);
    assert_true(pvi_host_preempt(r->h));
    pvi_posix_checkpoint(r->h);
}

static bool yes(void *opaque)
{
    (void)opaque;
    return true;
}

static void wait_lies(struct rr *r)
{
    struct pvi_posix_model m = {.pending = yes};

    pvi_posix_model(r->h, &r->n.unit, &m);
    rr_flush_domain(r);
}

static void left_unflushed(struct rr *r)
{
    rr_detach(r, RR_RID);
    pvi_posix_checkpoint(r->h);
}

static void left_in_wrong_order(struct rr *r)
{
    rr_detach(r, RR_RID);
    rr_flush_domain(r); /* the cached entry could fill the caches again */
    rr_flush_device(r, RR_RID, false);
    pvi_posix_checkpoint(r->h);
}

static void left_with_wrong_did(struct rr *r)
{
    rr_detach(r, RR_RID);
    r->did++;
    rr_flush_device(r, RR_RID, false);
    r->did--;
    rr_flush_domain(r);
    pvi_posix_checkpoint(r->h);
}

static void id_freed_before_flush(struct rr *r)
{
    rr_detach(r, RR_RID);
    rr_flush_device(r, RR_RID, false);
    pvi_host_did_free(r->h, &r->n.unit, r->did);
}

static void table_freed_after_leaving(struct rr *r)
{
    rr_detach(r, RR_RID);
    rr_flush_device(r, RR_RID, false);
    memset(rr_entry(r, r->leaf, 0), 0, PVI_PAGE_SIZE);
    pvi_host_page_free(r->h, r->leaf);
}

/* With a device left behind on the same id, only the cached entry of the one that left is stale. */
static void one_of_two_leaves(struct rr *r)
{
    assert_int_equal(rr_attach(r, &r->n, RR_RID + 1, 3), 0);
    rr_flush_device(r, RR_RID + 1, (r->flags & RR_AMD) == 0);
    rr_flush_domain(r);
    rr_detach(r, RR_RID);
    rr_flush_device(r, RR_RID, false);
    pvi_posix_checkpoint(r->h);
    pvi_posix_check_all(r->h);
}

static void attached_unflushed(struct rr *r)
{
    assert_int_equal(rr_attach(r, &r->n, RR_RID + 1, 3), 0);
    pvi_posix_checkpoint(r->h);
}

static void wrong_levels(struct rr *r)
{
    (void)rr_attach(r, &r->n, RR_RID + 1, 4);
    rr_flush_device(r, RR_RID + 1, (r->flags & RR_AMD) == 0);
}

static void id_freed_in_use(struct rr *r)
{
    pvi_host_did_free(r->h, &r->n.unit, r->did);
}

static void id_for_two_tables(struct rr *r)
{
    r->root = rr_new_page(r);
    assert_int_equal(rr_attach(r, &r->n, RR_RID + 1, 3), 0);
}

static void addition_unflushed(struct rr *r)
{
    rr_store(r, r->leaf, 5, rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    pvi_posix_checkpoint(r->h);
}

static void addition_of_table_flushed_in_part(struct rr *r)
{
    rr_store(r, r->mid, 1, rr_link_to(r, rr_new_leaf_table(r, 8), 1));
    rr_flush_pages(r, 0x200000, 13, false);
    pvi_posix_checkpoint(r->h);
}

static void addition_flushed(struct rr *r)
{
    rr_store(r, r->mid, 1, rr_link_to(r, rr_new_leaf_table(r, 8), 1));
    rr_flush_pages(r, 0x200000, 14, false);
    rr_store(r, r->leaf, 5, rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    rr_flush_pages(r, 0x5000, 12, false);
    pvi_posix_checkpoint(r->h);
}

static void write_buffer_flushed(struct rr *r)
{
    struct pvi_posix_view view = {.host = r->h, .coherent = true, .write_buffer = true};
    struct pvi_inv inv = {.kind = PVI_INV_WBUF};

    rr_store(r, r->leaf, 5, rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    assert_int_equal(pvi_posix_hw_read64(&view, r->leaf.a + 40), 0);
    pvi_posix_hw_flush(&view);
    assert_true(pvi_posix_hw_read64(&view, r->leaf.a + 40) == rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    rr_told(r, inv); /* a register: nothing to wait for */
    pvi_posix_checkpoint(r->h);
}

static void write_buffer_not_flushed(struct rr *r)
{
    rr_store(r, r->leaf, 5, rr_leaf_to(r, RR_FRAME + 0x10000, 0));
    pvi_posix_checkpoint(r->h);
}

static void lock_order(struct rr *r)
{
    pvi_env_lock a, b;

    pvi_env_lock_init(r->h, &a, PVI_LOCK_CONTEXT);
    pvi_env_lock_init(r->h, &b, PVI_LOCK_DOMAIN);
    pvi_env_acquire(r->h, &a);
    pvi_env_acquire(r->h, &b);
    pvi_env_release(r->h, &a);
    pvi_env_release(r->h, &b);
}

static void lock_twice(struct rr *r)
{
    pvi_env_lock a;

    pvi_env_lock_init(r->h, &a, PVI_LOCK_CONTEXT);
    pvi_env_acquire(r->h, &a);
    pvi_env_acquire(r->h, &a);
    pvi_env_release(r->h, &a);
    pvi_env_release(r->h, &a);
}

static void lock_held_at_wait(struct rr *r)
{
    pvi_env_lock a;

    pvi_env_lock_init(r->h, &a, PVI_LOCK_CONTEXT);
    pvi_env_acquire(r->h, &a);
    rr_waited(r);
    pvi_env_release(r->h, &a);
}

static void lock_held_at_return(struct rr *r)
{
    pvi_env_lock a;

    pvi_env_lock_init(r->h, &a, PVI_LOCK_DOMAIN);
    pvi_env_acquire(r->h, &a);
    pvi_posix_checkpoint(r->h);
    pvi_env_release(r->h, &a);
}

static void locks_in_order(struct rr *r)
{
    pvi_env_lock a, b;

    pvi_env_lock_init(r->h, &a, PVI_LOCK_DOMAIN);
    pvi_env_lock_init(r->h, &b, PVI_LOCK_UNIT);
    pvi_env_acquire(r->h, &a);
    pvi_env_acquire(r->h, &b);
    pvi_env_release(r->h, &b);
    pvi_env_release(r->h, &a);
}

static void page_freed_mapped(struct rr *r)
{
    pvi_pa pa = rr_new_page(r);

    (void)pvi_env_map(r->h, pa);
    pvi_host_page_free(r->h, pa);
}

#define CASE(run, rule, need, never)                                                               \
    {                                                                                              \
#run, run, PVI_RULE_##rule, need, never                                                    \
    }

static const struct rr_case cases[] = {
    CASE(return_flushed_in_part, R5, 0, 0),
    CASE(return_flushed_too_narrowly, R5, 0, 0),
    CASE(return_unwaited, R5, 0, 0),
    CASE(return_unflushed, R6, 0, 0),
    CASE(return_unflushed_rights, R6, 0, 0),
    CASE(ignored_bits, NONE, 0, 0),
    CASE(preempted_unflushed, R7, 0, 0),
    CASE(wait_lies, R8, 0, 0),
    CASE(left_unflushed, R9, 0, 0),
    CASE(left_in_wrong_order, R9, 0, 0),
    CASE(left_with_wrong_did, R9, 0, 0),
    CASE(id_freed_before_flush, R9, 0, 0),
    CASE(table_freed_after_leaving, R4, 0, 0),
    CASE(one_of_two_leaves, NONE, 0, 0),
    CASE(attached_unflushed, R20, RR_NP, RR_AMD),
    CASE(wrong_levels, R11, 0, 0),
    CASE(id_freed_in_use, R13, 0, 0),
    CASE(id_for_two_tables, R13, 0, 0),
    CASE(addition_unflushed, R20, RR_NP, 0),
    CASE(addition_of_table_flushed_in_part, R20, RR_NP, 0),
    CASE(addition_flushed, NONE, 0, 0),
    CASE(write_buffer_not_flushed, R20, RR_WBUF, 0),
    CASE(write_buffer_flushed, NONE, RR_WBUF, RR_NP | RR_NONCOHERENT),
    CASE(lock_order, LOCK, 0, 0),
    CASE(lock_twice, LOCK, 0, 0),
    CASE(lock_held_at_wait, LOCK, 0, 0),
    CASE(lock_held_at_return, LOCK, 0, 0),
    CASE(locks_in_order, NONE, 0, 0),
    CASE(page_freed_mapped, MAP, 0, 0),
};

/* What a unit that does not snoop sees of a table is what was written back. */
static void views(void **state)
{
    struct rr r;
    struct pvi_posix_view far, near;
    uint64_t old, leaf;

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    rr_init(&r, RR_NONCOHERENT);
    far = (struct pvi_posix_view){.host = r.h, .coherent = false};
    near = (struct pvi_posix_view){.host = r.h, .coherent = true};
    old = rr_leaf_to(&r, RR_FRAME + 0x2000, 0);
    leaf = rr_leaf_to(&r, RR_FRAME + 0x8000, 0);
    assert_true(pvi_posix_hw_read64(&far, r.leaf.a + 16) == old);
    *rr_entry(&r, r.leaf, 2) = leaf; /* no hook: no view has it */
    assert_true(pvi_posix_hw_read64(&near, r.leaf.a + 16) == old);
    *rr_entry(&r, r.leaf, 2) = old;
    pvi_env_write64(r.h, rr_entry(&r, r.leaf, 2), leaf);
    assert_true(pvi_posix_hw_read64(&near, r.leaf.a + 16) == leaf);
    assert_true(pvi_posix_hw_read64(&far, r.leaf.a + 16) == old);
    pvi_env_writeback(r.h, (char *)rr_entry(&r, r.leaf, 2) + 7, 1);
    assert_true(pvi_posix_hw_read64(&far, r.leaf.a + 16) == leaf);
    assert_true(
        pvi_posix_hw_cmpxchg64(&far, r.leaf.a + 16, leaf, leaf | 0x300)); /* accessed, dirty */
    assert_false(pvi_posix_hw_cmpxchg64(&far, r.leaf.a + 16, leaf, 0));
    assert_true(*rr_entry(&r, r.leaf, 2) == (leaf | 0x300));
    pvi_posix_hw_write32(&far, r.leaf.a + 0x800, 5);
    assert_int_equal(pvi_posix_hw_read32(&near, r.leaf.a + 0x800), 5);
    assert_true(pvi_posix_hw_valid(&far, RR_BASE, 0x100000));
    assert_false(pvi_posix_hw_valid(&far, RR_BASE, 0x100001));
    assert_false(pvi_posix_hw_valid(&far, RR_BASE - 8, 8));
    rr_flush_domain(&r);
    pvi_posix_check_all(r.h);
    assert_int_equal(pvi_posix_violations(r.h, PVI_RULE_NONE, NULL), 0);
    rr_fini(&r);
}

/* Two threads change one table and flush each for itself: nobody is blamed for the other's work. */
static void *mapper(void *opaque)
{
    struct rr *r = opaque;
    static unsigned next;
    unsigned me = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED), i;

    for (i = 0; i < 2000; i++) {
        unsigned slot = 16 + me * 64 + i % 64;

        rr_store(r, r->leaf, slot, rr_leaf_to(r, RR_FRAME + 0x100000 + slot * PVI_PAGE_SIZE, 0));
        rr_store(r, r->leaf, slot, 0);
        rr_flush_pages(r, slot * PVI_PAGE_SIZE, 12, true);
        pvi_posix_checkpoint(r->h);
    }
    return NULL;
}

static void two_threads(void **state)
{
    struct rr r;
    pthread_t t[2];
    const char *text;
    unsigned i;

    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    rr_init(&r, RR_NONCOHERENT);
    for (i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, mapper, &r), 0);
    }
    for (i = 0; i < 2; i++) {
        pthread_join(t[i], NULL);
    }
    if (pvi_posix_violations(r.h, PVI_RULE_NONE, &text) != 0) {
        fail_msg("%s", text);
    }
    rr_fini(&r);
}

static void each_case(void **state)
{
    (void)state;
    if (!pvi_posix_recording()) {
        skip();
    }
    assert_int_equal(rr_run(cases, sizeof(cases) / sizeof(cases[0])), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case),
        cmocka_unit_test(views),
        cmocka_unit_test(two_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
