/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_SMP_H
#define STANDIN_XEN_SMP_H

/* As in Xen, from the stack that the CPU is on. */
static inline unsigned int smp_processor_id(void)
{
    unsigned int cpu;

    __asm__("mov (%%rsp), %0" : "=r"(cpu));
    return cpu;
}

#endif
