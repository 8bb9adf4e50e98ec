/* SPDX-License-Identifier: MIT */
/* The run of the image that has the processor walk tables of both vendors. Output is TAP on the
 * debug console. */
#include "mmu.h"
#include "platform.h"

static struct pvi_host host;
static struct mmu mmu;

static void format_run(struct mmu *m, const struct pvi_pt_ops *ops)
{
    mmu_open(m, ops, false, 0);
    mmu_check_sizes(m);
    mmu_check_rights(m);
    mmu_check_stale(m);
    mmu_check_split(m);
    mmu_check_preset(m);
    mmu_check_random(m);
    mmu_close(m);
    mmu_open(m, ops, true, 0);
    mmu_check_sizes(m);
    mmu_check_split(m);
    mmu_check_dirty(m);
    mmu_check_random(m);
    mmu_close(m);
    mmu_check_width(m, ops);
}

void bare_main(void);

void bare_main(void)
{
    struct mmu *m = &mmu;

    bare_platform_init();
    if (bare_ram_low() < MMU_LOW_END || bare_ram_high() < PAGE1G) {
        bare_fatal("RAM: at least 1 GiB of it is needed above 4 GiB");
    }
    bare_host_init(&host);
    mmu_init(m, &host);
    format_run(m, &pvi_vtd_fs_ops);
    format_run(m, &pvi_amdvi_v2_ops);
    mmu_check(m, host.pages_used == 0 && host.events == 0, "every page of the hypervisor is back");
    bare_print("# %u levels, %u bits of physical address\n", m->levels, m->cpu_pa_bits);
    bare_print("1..%u\n", m->nr);
    bare_exit(m->nr_bad == 0 ? BARE_EXIT_PASS : BARE_EXIT_FAIL);
}
