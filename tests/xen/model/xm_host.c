/* SPDX-License-Identifier: MIT */
/* What the model needs of the C library, whose headers its other files do not see. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "xm.h"

void *xm_host_alloc(size_t size, size_t align);
void xm_host_free(void *p);
void xm_host_log(const char *format, va_list args);
void xm_host_yield(void);
unsigned long simple_strtoul(const char *s, const char **end, unsigned int base);
void xm_in(void);
void xm_out(void);
void __sanitizer_print_stack_trace(void) __attribute__((__weak__));

static pthread_mutex_t one = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void xm_in(void)
{
    pthread_mutex_lock(&one);
}

void xm_out(void)
{
    pthread_mutex_unlock(&one);
}

void *xm_host_alloc(size_t size, size_t align)
{
    void *p = NULL;

    if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size)) {
        abort();
    }
    return memset(p, 0, size);
}

void xm_host_free(void *p)
{
    free(p);
}

void xm_host_log(const char *format, va_list args)
{
    if (getenv("XM_LOG")) {
        vfprintf(stderr, format, args);
    }
}

/* Xen's knows neither signs nor leading blanks. */
unsigned long simple_strtoul(const char *s, const char **end, unsigned int base)
{
    char *last = (char *)s;
    unsigned long value = *s >= '0' && *s <= '9' ? strtoul(s, &last, (int)base) : 0;

    *end = last;
    return value;
}

void xm_host_yield(void)
{
    sched_yield();
}

void xm_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("xm: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    if (getenv("XM_LOG") && __sanitizer_print_stack_trace) {
        __sanitizer_print_stack_trace();
    }
    fflush(stderr);
    _exit(1);
}
