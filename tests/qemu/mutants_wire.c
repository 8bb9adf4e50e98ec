/* SPDX-License-Identifier: MIT */
/* Commands lost, changed or late on their way to the unit (hwspec 4.1, 7.2). */
#include "mutants.h"

#define NOBODY UINT64_C(0x7FF0) /* a domain id that is never given out here */

/* Turns a command into one that does nothing: pages of a domain that is not there. */
static void lose(const struct lib_tap *tap, struct lib_cmd *cmd)
{
    if (tap->amd) {
        cmd->w[0] = UINT64_C(3) << 60 | NOBODY << 32;
        cmd->w[1] = 0;
    } else {
        cmd->w[0] = 0x32 | NOBODY << 16;
        cmd->w[1] = 0;
    }
}

static void set_did(const struct lib_tap *tap, struct lib_cmd *cmd, uint64_t did)
{
    unsigned shift = tap->amd ? 32 : 16;

    cmd->w[0] = (cmd->w[0] & ~(UINT64_C(0xFFFF) << shift)) | (did & 0xFFFF) << shift;
}

static void lose_pages(void *tap, struct lib_cmd *cmd)
{
    if (cmd->kind == LIB_CMD_PAGES)
        lose(tap, cmd);
}

static void lose_domains(void *tap, struct lib_cmd *cmd)
{
    if (cmd->kind == LIB_CMD_DOMAIN)
        lose(tap, cmd);
}

static void lose_entries(void *tap, struct lib_cmd *cmd)
{
    if (cmd->kind == LIB_CMD_DEVICE)
        lose(tap, cmd);
}

static void wrong_id_pages(void *tap, struct lib_cmd *cmd)
{
    if (cmd->kind == LIB_CMD_PAGES)
        set_did(tap, cmd, cmd->did + 1u);
}

static void wrong_id_domains(void *tap, struct lib_cmd *cmd)
{
    if (cmd->kind == LIB_CMD_DOMAIN)
        set_did(tap, cmd, cmd->did + 1u);
}

static void next_page(void *tap, struct lib_cmd *cmd)
{
    (void)tap;
    if (cmd->kind == LIB_CMD_PAGES)
        cmd->w[1] += LIB_PAGE;
}

static void one_page(void *tap, struct lib_cmd *cmd)
{
    (void)tap;
    if (cmd->kind == LIB_CMD_PAGES)
        cmd->w[1] &= ~UINT64_C(0x3F); /* VT-d: AM */
}

static void half_size(void *tap, struct lib_cmd *cmd)
{
    (void)tap;
    if (cmd->kind == LIB_CMD_PAGES && cmd->lg2 > 12)
        cmd->w[1]--;
}

#define FILTER(name)                                                                               \
    static void arm_##name(struct lib *l)                                                          \
    {                                                                                              \
        l->tap.opaque = &l->tap;                                                                   \
        l->tap.filter = name;                                                                      \
    }

FILTER(lose_pages)
FILTER(lose_domains)
FILTER(lose_entries)
FILTER(wrong_id_pages)
FILTER(wrong_id_domains)
FILTER(next_page)
FILTER(one_page)
FILTER(half_size)

static void arm_withhold(struct lib *l)
{
    l->tap.withhold = true;
}

const struct mutant wire_mutants[] = {
    { "page invalidations are lost", ON_BOTH, JUDGE_DMA, arm_lose_pages, lib_check_stale_unmap, 0 },
    { "page invalidations are lost, large leaf", ON_BOTH, JUDGE_DMA, arm_lose_pages,
      lib_check_stale_large, 0 },
    { "page invalidations are lost, split", ON_BOTH, JUDGE_DMA, arm_lose_pages, lib_check_split,
      0 },
    { "domain invalidations are lost, many pages", ON_BOTH, JUDGE_DMA, arm_lose_domains,
      lib_check_stale_many, 0 },
    { "domain invalidations are lost, reattach", ON_BOTH, JUDGE_DMA, arm_lose_domains,
      lib_check_stale_reattach, 0 },
    { "domain invalidations are lost, free", ON_BOTH, JUDGE_DMA, arm_lose_domains, lib_check_free,
      0 },
    { "context entry invalidations are lost", ON_VTD, JUDGE_DMA, arm_lose_entries,
      lib_check_reattach, 0 },
    { "page invalidations name the next domain id", ON_BOTH, JUDGE_DMA, arm_wrong_id_pages,
      lib_check_at_once, 0 },
    { "domain invalidations name the next domain id", ON_BOTH, JUDGE_DMA, arm_wrong_id_domains,
      lib_check_reattach, 0 },
    { "page invalidations name the next page", ON_VTD, JUDGE_DMA, arm_next_page, lib_check_at_once,
      0 },
    { "page invalidations are for one page", ON_VTD, JUDGE_DMA, arm_one_page, lib_check_at_once,
      0 },
    { "page invalidations are for half as many pages", ON_VTD, JUDGE_DMA, arm_half_size,
      lib_check_at_once, 0 },
    { "page invalidations are lost, random batches", ON_BOTH, JUDGE_DMA, arm_lose_pages,
      check_random, NEED_NICS },
    { "completion before the commands, unmap", ON_BOTH, JUDGE_DMA, arm_withhold,
      lib_check_stale_unmap, 0 },
    { "completion before the commands, reattach", ON_BOTH, JUDGE_DMA, arm_withhold,
      lib_check_stale_reattach, 0 },
};
const unsigned nr_wire_mutants = sizeof(wire_mutants) / sizeof(wire_mutants[0]);
