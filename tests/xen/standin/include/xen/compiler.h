/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses, and the words that are macros in Xen. */
#ifndef STANDIN_XEN_COMPILER_H
#define STANDIN_XEN_COMPILER_H

/* What Xen's own sources see: no global name has to go through a GOT. */
#pragma GCC visibility push(hidden)

#define inline __inline__
#define always_inline __inline__ __attribute__((__always_inline__))
#define noinline __attribute__((__noinline__))
#define noreturn __attribute__((__noreturn__))
#define fallthrough __attribute__((__fallthrough__))
#define cf_check __attribute__((__cf_check__))

#define __init __attribute__((__section__(".init.text"), __cold__))
#define __read_mostly __attribute__((__section__(".data.read_mostly")))
#define __must_check __attribute__((__warn_unused_result__))
#define __packed __attribute__((__packed__))
#define __maybe_unused __attribute__((__unused__))
#define __used __attribute__((__used__))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define unreachable() __builtin_unreachable()
#define offsetof(type, member) __builtin_offsetof(type, member)
#define barrier() __asm__ __volatile__("" : : : "memory")

#endif
