/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_PERCPU_H
#define STANDIN_XEN_PERCPU_H

#define DEFINE_PER_CPU(type, name) __attribute__((__section__(".bss.percpu"))) __typeof__(type) per_cpu__##name
#define this_cpu(name) (*(__typeof__(per_cpu__##name) *)((char *)&per_cpu__##name + standin_cpu_offset()))

static inline unsigned long standin_cpu_offset(void)
{
    unsigned long offset;

    __asm__("mov (%%rsp), %0" : "=r"(offset));
    return offset;
}

#endif
