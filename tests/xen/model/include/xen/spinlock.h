/* SPDX-License-Identifier: MIT */
/* Locks that know where they were made: the model holds them to an order (xm_lock.c). */
#ifndef STANDIN_XEN_SPINLOCK_H
#define STANDIN_XEN_SPINLOCK_H

#include <xen/types.h>

typedef struct {
    uint32_t word;
    uint8_t irq; /* how it has been taken so far */
    const char *class;
} spinlock_t;
#define DEFINE_SPINLOCK(name) spinlock_t name = { .class = #name }
#define spin_lock_init(lock) (*(lock) = (spinlock_t){ .class = __func__ })

void spin_lock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
#define spin_lock_irqsave(lock, flags) ((flags) = _spin_lock_irqsave(lock))
unsigned long _spin_lock_irqsave(spinlock_t *lock);
void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);

#endif
