/* SPDX-License-Identifier: MIT */
/*
 * QEMU as a child process, driven over the qtest text protocol: guest RAM is a memfd that both
 * processes map, registers are reached through a socket, no guest code runs. This file has the
 * process, the protocol, RAM and the trace log.
 *
 * Every model used answers synchronously: when a register write returns, the queue has been
 * processed, the root pointer loaded, the copy made. RAM is never reached through the socket, only
 * through qt_ptr().
 *
 * One thread at a time may talk to one struct qt; other threads may touch RAM. The thread that
 * called qt_start() has to live as long as QEMU does: the kernel kills QEMU when that thread ends.
 */
#ifndef QEMU_QTEST_H
#define QEMU_QTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QT_EXIT_SKIP      77 /* exit status without QEMU: SKIP_RETURN_CODE of the test */
#define QT_EXIT_DEAD      3  /* exit status when QEMU died or hung under a test */

#define QT_VTD_BASE       0xFED90000u /* registers of intel-iommu; the DMAR table says the same */
#define QT_AMD_BASE       0xFED80000u /* registers of amd-iommu; the IVRS table says the same */

/* Arguments of -device for the devices that the harness can drive. */
#define QT_DEV_EDU        "edu,dma_mask=0xffffffffffffffff"
#define QT_DEV_E1000      "e1000,romfile="
#define QT_DEV_E1000E     "e1000e,romfile="
#define QT_DEV_ROOT_PORT  "pcie-root-port,id=rp,chassis=1,addr=6"
#define QT_DEV_EDU_BEHIND "edu,bus=rp,dma_mask=0xffffffffffffffff"

enum qt_iommu {
    QT_IOMMU_NONE,
    QT_IOMMU_VTD,
    QT_IOMMU_AMD,
};

enum qt_status {
    QT_OK = 0,
    QT_ABSENT = -1, /* no such program: the test exits with QT_EXIT_SKIP */
    QT_FAILED = -2, /* QEMU did not come up; the reason is on stderr */
};

/* All zero is a valid configuration: no IOMMU, no device, 2 GiB of RAM, 60 s, no trace. */
struct qt_config {
    enum qt_iommu iommu;
    unsigned int aw_bits;       /* VT-d: 39 or 48; 0 means 48 */
    bool caching_mode;          /* VT-d: CAP.CM */
    const char *iommu_extra;    /* more properties of the IOMMU, "x-scalable-mode=on"; or NULL */
    const char *const *devices; /* arguments of -device up to a NULL, slots 1.. in order; or NULL */
    const char *const *trace;   /* trace event names or patterns up to a NULL; or NULL */
    uint64_t ram_size;          /* bytes, a multiple of 1 MiB; 0 means 2 GiB */
    unsigned int timeout_s;     /* longest wait for one answer of QEMU; 0 means 60 */
};

struct qt;

/*
 * The program is $QEMU, or qemu-system-x86_64. *out is written on QT_OK only.
 * All later calls either succeed or end the process with QT_EXIT_DEAD: a dead or hung QEMU is a
 * failed test.
 */
enum qt_status qt_start(struct qt **out, const struct qt_config *config);
void qt_stop(struct qt *qt); /* SIGKILL, wait, release everything; NULL is allowed */

/*
 * Reports and ends the process with QT_EXIT_DEAD. For misuse and for a QEMU that does not answer.
 */
_Noreturn void qt_fatal(struct qt *qt, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

uint32_t qt_read32(struct qt *qt, uint64_t addr);
uint64_t qt_read64(struct qt *qt, uint64_t addr);
void qt_write32(struct qt *qt, uint64_t addr, uint32_t value);
void qt_write64(struct qt *qt, uint64_t addr, uint64_t value);
uint32_t qt_in32(struct qt *qt, uint16_t port);
void qt_out32(struct qt *qt, uint16_t port, uint32_t value);

/*
 * Between begin and end writes are posted: sent together, acknowledged together. A read in between
 * sends what is pending first. Pairs may nest.
 */
void qt_batch_begin(struct qt *qt);
void qt_batch_end(struct qt *qt);

/*
 * RAM: the first 2 GiB at address 0, the rest at 4 GiB and up. qt_ptr() ends the process when [pa,
 * pa + len) is not wholly inside one of the two parts.
 */
void *qt_ptr(struct qt *qt, uint64_t pa, uint64_t len);
bool qt_is_ram(const struct qt *qt, uint64_t pa, uint64_t len);
uint64_t qt_ram_low_end(const struct qt *qt);  /* end of the part at 0 */
uint64_t qt_ram_high_end(const struct qt *qt); /* end of the part at 4 GiB; 0 when there is none */

/*
 * Zeroed physical memory below 2 GiB, from 16 MiB upwards; align is a power of two. Everything
 * allocated after a qt_alloc_mark() is given back by qt_alloc_reset() of its result.
 */
uint64_t qt_alloc(struct qt *qt, uint64_t size, uint64_t align);
uint64_t qt_alloc_page(struct qt *qt);
uint64_t qt_alloc_mark(const struct qt *qt);
void qt_alloc_reset(struct qt *qt, uint64_t mark);

/* Address space for BARs and bridge windows, in units of 1 MiB from 0xE0000000. */
uint64_t qt_alloc_mmio(struct qt *qt, uint64_t size);

/*
 * The trace log. A pattern is a shell pattern over event names ("vtd_inv_desc_iotlb*"); an event
 * has to be enabled in qt_config.trace to be logged. Only lines logged after the last
 * qt_trace_mark() count.
 */
void qt_trace_mark(struct qt *qt);
size_t qt_trace_count(struct qt *qt, const char *pattern);

/*
 * Calls visit(ctx, event name, arguments as QEMU formats them) for each match in the order logged,
 * returns how many. The strings live until visit returns.
 */
size_t qt_trace_each(struct qt *qt, const char *pattern,
                     void (*visit)(void *ctx, const char *event, const char *text), void *ctx);

/*
 * The matching lines as "event arguments\n", one after another; count may be NULL. The caller frees
 * the string.
 */
char *qt_trace_text(struct qt *qt, const char *pattern, size_t *count);

/* What QEMU wrote to stdout and stderr (warnings, guest errors). The caller frees the string. */
char *qt_console_text(struct qt *qt);

#endif
