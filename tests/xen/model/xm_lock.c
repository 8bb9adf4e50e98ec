/* SPDX-License-Identifier: MIT */
/*
 * Locks. They are of one class if they were made in one place; which class has been taken inside which is remembered, and a
 * circle is an error, whether or not it has ever come to a deadlock. As in Xen's debug builds a lock is either always taken with
 * interrupts off or never.
 */
#include "xm_int.h"

#define MOST_CLASSES 32u
#define MOST_HELD 16u
/* The library's own order among its locks is the recorder's affair (shim/posix). */
#define LIBRARY "pvi_env_lock_init"

static const char *class[MOST_CLASSES];
static unsigned int nr_classes;
static bool inside[MOST_CLASSES][MOST_CLASSES]; /* [a][b]: b was taken with a held, or may so be */
static struct {
    spinlock_t *lock[MOST_HELD];
    unsigned int nr;
    bool irqs_off;
} held[XM_CPUS];

static spinlock_t pcidevs = { .class = "pcidevs_lock" };
static unsigned int pcidevs_cpu = ~0U, pcidevs_depth;

bool xm_same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static unsigned int class_of(const spinlock_t *lock)
{
    unsigned int i;

    XM_CHECK(lock->class, "a lock that was never initialised");
    for (i = 0; i < nr_classes && !xm_same(class[i], lock->class); i++) {
    }
    if (i == nr_classes) {
        XM_CHECK(nr_classes < MOST_CLASSES, "too many classes of locks");
        class[nr_classes++] = lock->class;
    }
    return i;
}

/* b inside a, and with it all that has been seen inside b inside all that a was seen inside. */
static void learn(unsigned int a, unsigned int b)
{
    unsigned int i, j;

    XM_CHECK(!inside[b][a], "%s is taken inside %s, and elsewhere the other way round", class[b], class[a]);
    for (i = 0; i < nr_classes; i++) {
        for (j = 0; j < nr_classes; j++) {
            if ((i == a || inside[i][a]) && (j == b || inside[b][j])) {
                inside[i][j] = true;
            }
        }
    }
}

static void note(spinlock_t *lock)
{
    unsigned int c, i, was;

    xm_in();
    c = class_of(lock);
    XM_CHECK(lock->irq == 0 || lock->irq == 1U + held[xm_cpu].irqs_off, "%s is taken both with interrupts on and off", class[c]);
    lock->irq = 1U + held[xm_cpu].irqs_off;
    for (i = 0; i < held[xm_cpu].nr; i++) {
        XM_CHECK(held[xm_cpu].lock[i] != lock, "%s is taken twice", class[c]);
        was = class_of(held[xm_cpu].lock[i]);
        if (was != c) {
            learn(was, c);
        } else {
            XM_CHECK(xm_same(class[c], LIBRARY), "two locks of %s at once", class[c]);
        }
    }
    xm_out();
}

void spin_lock(spinlock_t *lock)
{
    note(lock);
    while (__sync_lock_test_and_set(&lock->word, 1)) {
        xm_host_yield();
    }
    XM_CHECK(held[xm_cpu].nr < MOST_HELD, "too many locks");
    held[xm_cpu].lock[held[xm_cpu].nr++] = lock;
}

void spin_unlock(spinlock_t *lock)
{
    unsigned int i, nr = held[xm_cpu].nr;

    for (i = nr; i && held[xm_cpu].lock[i - 1] != lock; i--) {
    }
    XM_CHECK(i, "a lock is given back that is not held");
    xm_look();
    held[xm_cpu].lock[i - 1] = held[xm_cpu].lock[nr - 1];
    held[xm_cpu].nr--;
    __sync_lock_release(&lock->word);
}

unsigned long _spin_lock_irqsave(spinlock_t *lock)
{
    unsigned long was = held[xm_cpu].irqs_off;

    held[xm_cpu].irqs_off = true;
    spin_lock(lock);
    return was;
}

void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
    spin_unlock(lock);
    held[xm_cpu].irqs_off = flags;
}

void pcidevs_lock(void)
{
    if (pcidevs_cpu != xm_cpu) {
        spin_lock(&pcidevs);
        pcidevs_cpu = xm_cpu;
    }
    pcidevs_depth++;
}

void pcidevs_unlock(void)
{
    XM_CHECK(pcidevs_cpu == xm_cpu, "pcidevs_lock is not held");
    if (--pcidevs_depth == 0) {
        pcidevs_cpu = ~0U;
        spin_unlock(&pcidevs);
    }
}

bool pcidevs_locked(void)
{
    return pcidevs_cpu == xm_cpu;
}

bool xm_atomic(void)
{
    return held[xm_cpu].nr != 0 || held[xm_cpu].irqs_off;
}

/* Xen forbids it with interrupts off; the library wants it outside of its locks, and of a unit's it is nobody's business. */
void xm_may_alloc(void)
{
    const char *name;
    unsigned int i;

    XM_CHECK(!held[xm_cpu].irqs_off, "memory is asked for with interrupts off");
    for (i = 0; i < held[xm_cpu].nr; i++) {
        name = held[xm_cpu].lock[i]->class;
        XM_CHECK(xm_same(name, "make_lock") || xm_same(name, "pcidevs_lock"), "memory is asked for, or given back, under %s", name);
    }
}

void xm_locks_idle(void)
{
    XM_CHECK(!held[xm_cpu].nr, "%s is left held", held[xm_cpu].lock[0]->class);
    XM_CHECK(!held[xm_cpu].irqs_off, "interrupts are left off");
}
