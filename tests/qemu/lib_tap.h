/* SPDX-License-Identifier: MIT */
/*
 * The wire between the library's unit drivers and QEMU: register accesses are forwarded, and every
 * command that a tail write shows to the unit is decoded from the ring in memory, kept, and handed
 * to a filter that may change it. The decoders are written from hwspec 4.1 and 7.2 and share
 * nothing with the library.
 */
#ifndef QEMU_LIB_TAP_H
#define QEMU_LIB_TAP_H

#include <pviommu_posix.h>

#include "qtest.h"

enum lib_cmd_kind {
    LIB_CMD_PAGES,   /* 2^lg2 bytes of a domain at iova */
    LIB_CMD_DOMAIN,  /* all pages of a domain */
    LIB_CMD_DEVICE,  /* one context entry (VT-d) or device table entry (AMD-Vi) */
    LIB_CMD_ENTRIES, /* VT-d: all context entries, or those of a domain */
    LIB_CMD_ALL,     /* VT-d: all IOTLB entries; AMD-Vi: everything */
    LIB_CMD_WAIT,    /* stores `data` at `iova`, a physical address */
    LIB_CMD_OTHER,
    LIB_CMD_KINDS,
};

const char *lib_cmd_name(enum lib_cmd_kind kind);

struct lib_cmd {
    enum lib_cmd_kind kind;
    uint16_t did;
    uint16_t rid;
    uint64_t iova;
    unsigned lg2;
    bool leaf_only; /* PAGES: IH=1, or PDE=0 */
    bool fence;     /* WAIT: VT-d FN */
    uint64_t data;
    uint64_t w[2];
};

#define LIB_TAP_LOG 65536u

struct lib_tap {
    struct qt *qt;
    bool amd;
    uint64_t ring; /* physical address, as the library programmed it */
    uint32_t tail; /* bytes: what the unit has been shown */
    unsigned nr;   /* commands in log[]; more than LIB_TAP_LOG end the test */
    unsigned count[LIB_CMD_KINDS];
    struct lib_cmd log[LIB_TAP_LOG];
    /* Called for each new command before the unit sees it; it may rewrite cmd->w. */
    void (*filter)(void *opaque, struct lib_cmd *cmd);
    void *opaque;
    /*
     * The unit is shown no more commands, and waits are answered in its stead: as if they completed
     * before what is ahead of them. Good for less than a ring of commands.
     */
    bool withhold;
};

/* Registers of the unit at base are QEMU's from now on. Nothing happens the second time. */
void lib_tap_init(struct lib_tap *tap, struct qt *qt, bool amd, struct pvi_host *host,
                  uint64_t base);

/* Forgets what was logged so far; what has not been shown to the unit yet is not forgotten. */
void lib_tap_reset(struct lib_tap *tap);

/* The command in two words of a ring. */
void lib_cmd_decode(bool amd, const uint64_t w[2], struct lib_cmd *cmd);

#endif
