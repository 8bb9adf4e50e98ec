/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_ASM_PROCESSOR_H
#define STANDIN_ASM_PROCESSOR_H

#include <xen/types.h>

#define X86_VENDOR_AMD 2
#define X86_VENDOR_HYGON 32

extern struct cpuinfo_x86 {
    uint8_t vendor;
} boot_cpu_data;
extern unsigned int paddr_bits;

#define cpu_relax() __asm__ __volatile__("pause" : : : "memory")

static inline uint64_t rdtsc_ordered(void)
{
    uint32_t low, high;

    __asm__ __volatile__("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

#endif
