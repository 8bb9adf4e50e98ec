/* SPDX-License-Identifier: MIT */
/* What compilers call by themselves. */
#include "dom0.h"

void *memset(void *to, int value, size_t nr)
{
    void *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(nr) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t nr)
{
    void *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(nr) : : "memory");
    return to;
}
