/* SPDX-License-Identifier: MIT */
/* A store to a table is a moment at which a unit may look: xm_stored() lets it. */
#ifndef STANDIN_ASM_ATOMIC_H
#define STANDIN_ASM_ATOMIC_H

void xm_stored(void);

#define read_atomic(p) (*(const volatile __typeof__(*(p)) *)(p))
#define write_atomic(p, value)                                          \
    do {                                                                \
        *(volatile __typeof__(*(p)) *)(p) = (value);                    \
        xm_stored();                                                    \
    } while (0)

#endif
