/* SPDX-License-Identifier: MIT */
/* Registers forwarded to QEMU, commands in the ring decoded on the way (hwspec 4.1, 7.2). */
#include <string.h>

#include "lib_tap.h"

#define WINDOW        0x4000u /* AMD-Vi: 16 KiB of registers; VT-d needs less */
#define RING_MASK     0xFFFu  /* one page: 256 commands of 16 bytes */
#define COMMAND_BYTES 16u

#define VTD_IQT         0x88u /* hwspec 1.10: byte offset of the next descriptor, 18:4 */
#define VTD_IQA         0x90u
#define AMD_CMDBUF_BASE 0x08u /* hwspec 6.2 */
#define AMD_CMD_TAIL    0x2008u
#define BASE_MASK       UINT64_C(0x000FFFFFFFFFF000)

const char *lib_cmd_name(enum lib_cmd_kind kind)
{
    static const char *const names[] = { "pages", "domain", "device", "entries",
                                         "all",   "wait",   "other" };

    return (unsigned)kind < LIB_CMD_KINDS ? names[kind] : "?";
}

static void decode_vtd(const uint64_t w[2], struct lib_cmd *cmd)
{
    unsigned granularity = (unsigned)(w[0] >> 4) & 3;

    cmd->did = (uint16_t)(w[0] >> 16);
    switch (w[0] & 0xF) {
    case 1:
        cmd->rid = (uint16_t)(w[0] >> 32);
        cmd->kind = granularity == 3 ? LIB_CMD_DEVICE : LIB_CMD_ENTRIES;
        break;
    case 2:
        if (granularity == 1)
            cmd->kind = LIB_CMD_ALL;
        else if (granularity == 2)
            cmd->kind = LIB_CMD_DOMAIN;
        else if (granularity == 3)
            cmd->kind = LIB_CMD_PAGES;
        cmd->iova = w[1] & ~UINT64_C(0xFFF);
        cmd->lg2 = 12 + (unsigned)(w[1] & 0x3F);
        cmd->leaf_only = w[1] >> 6 & 1;
        break;
    case 5:
        cmd->kind = LIB_CMD_WAIT;
        cmd->fence = w[0] >> 6 & 1;
        cmd->data = w[0] >> 32;
        cmd->iova = w[0] >> 5 & 1 ? w[1] & ~UINT64_C(3) : 0;
        break;
    default:
        break;
    }
}

/* S=1: the lowest zero bit from 12 up, at p, stands for 2^(p+1) bytes; all ones for everything. */
static void decode_amd_pages(const uint64_t w[2], struct lib_cmd *cmd)
{
    unsigned p = 12;

    cmd->did = (uint16_t)(w[0] >> 32);
    cmd->leaf_only = !(w[1] >> 1 & 1);
    cmd->kind = LIB_CMD_PAGES;
    cmd->lg2 = 12;
    cmd->iova = w[1] & ~UINT64_C(0xFFF);
    if (!(w[1] & 1))
        return;
    while (p < 63 && w[1] >> p & 1)
        p++;
    cmd->lg2 = p + 1;
    if (cmd->lg2 > 51) {
        cmd->kind = LIB_CMD_DOMAIN;
        cmd->iova = 0;
    } else {
        cmd->iova &= ~((UINT64_C(1) << cmd->lg2) - 1);
    }
}

static void decode_amd(const uint64_t w[2], struct lib_cmd *cmd)
{
    switch (w[0] >> 60) {
    case 1:
        cmd->kind = LIB_CMD_WAIT;
        cmd->iova = w[0] & 1 ? w[0] & UINT64_C(0x000FFFFFFFFFFFF8) : 0;
        cmd->data = w[1];
        break;
    case 2:
        cmd->kind = LIB_CMD_DEVICE;
        cmd->rid = (uint16_t)w[0];
        break;
    case 3:
        decode_amd_pages(w, cmd);
        break;
    case 8:
        cmd->kind = LIB_CMD_ALL;
        break;
    default:
        break;
    }
}

void lib_cmd_decode(bool amd, const uint64_t w[2], struct lib_cmd *cmd)
{
    memset(cmd, 0, sizeof(*cmd));
    cmd->kind = LIB_CMD_OTHER;
    cmd->w[0] = w[0];
    cmd->w[1] = w[1];
    if (amd)
        decode_amd(w, cmd);
    else
        decode_vtd(w, cmd);
}

/* Does in memory what the unit would do for a wait. */
static void answer_wait(struct lib_tap *tap, const struct lib_cmd *cmd)
{
    if (!cmd->iova)
        return;
    if (tap->amd)
        *(volatile uint64_t *)qt_ptr(tap->qt, cmd->iova, 8) = cmd->data;
    else
        *(volatile uint32_t *)qt_ptr(tap->qt, cmd->iova, 4) = (uint32_t)cmd->data;
}

static void see_commands(struct lib_tap *tap, uint32_t tail)
{
    struct lib_cmd *cmd;
    volatile uint64_t *slot;
    uint64_t w[2];

    while (tap->tail != tail) {
        if (tap->nr == LIB_TAP_LOG)
            qt_fatal(tap->qt, "more than %u commands logged; call lib_tap_reset()", LIB_TAP_LOG);
        cmd = &tap->log[tap->nr++];
        slot = qt_ptr(tap->qt, tap->ring + tap->tail, COMMAND_BYTES);
        w[0] = slot[0];
        w[1] = slot[1];
        lib_cmd_decode(tap->amd, w, cmd);
        tap->count[cmd->kind]++;
        if (tap->withhold && cmd->kind == LIB_CMD_WAIT)
            answer_wait(tap, cmd);
        if (tap->filter) {
            tap->filter(tap->opaque, cmd);
            slot[0] = cmd->w[0];
            slot[1] = cmd->w[1];
        }
        tap->tail = (tap->tail + COMMAND_BYTES) & RING_MASK;
    }
}

static uint32_t tap_read32(void *opaque, uint64_t pa)
{
    return qt_read32(((struct lib_tap *)opaque)->qt, pa);
}

static uint64_t tap_read64(void *opaque, uint64_t pa)
{
    return qt_read64(((struct lib_tap *)opaque)->qt, pa);
}

static void tap_write32(void *opaque, uint64_t pa, uint32_t value)
{
    qt_write32(((struct lib_tap *)opaque)->qt, pa, value);
}

static void tap_write64(void *opaque, uint64_t pa, uint64_t value)
{
    struct lib_tap *tap = opaque;
    uint64_t offset = pa & (WINDOW - 1);
    uint32_t tail = (uint32_t)value & RING_MASK;

    if (offset == (tap->amd ? AMD_CMDBUF_BASE : VTD_IQA)) {
        tap->ring = value & BASE_MASK;
        tap->tail = 0;
    } else if (offset == (tap->amd ? AMD_CMD_TAIL : VTD_IQT) && tail != tap->tail) {
        see_commands(tap, tail);
        if (tap->withhold)
            return;
    }
    qt_write64(tap->qt, pa, value);
}

void lib_tap_init(struct lib_tap *tap, struct qt *qt, bool amd, struct pvi_host *host,
                  uint64_t base)
{
    const struct pvi_posix_mmio mmio = {
        .read32 = tap_read32,
        .read64 = tap_read64,
        .write32 = tap_write32,
        .write64 = tap_write64,
        .opaque = tap,
    };

    if (tap->qt)
        return;
    memset(tap, 0, sizeof(*tap));
    tap->qt = qt;
    tap->amd = amd;
    if (pvi_posix_mmio(host, base, base + WINDOW - 1, &mmio) != 0)
        qt_fatal(qt, "the host has no room for another range of registers");
}

void lib_tap_reset(struct lib_tap *tap)
{
    tap->nr = 0;
    memset(tap->count, 0, sizeof(tap->count));
}
