/* SPDX-License-Identifier: MIT */
/*
 * The run from start to end: machine, devices, unit, guests, groups of checks, and everything down
 * again. What the checks share is here as well. Output is TAP on the debug console.
 */
#include "checks.h"
#include "platform.h"

#define GUEST_CONTEXTS 8u
#define GUEST_PAGES    64u

static struct pvi_host host;
static struct pvi_hdom guests[BARE_MAX_GUESTS];
static struct checks checks;

/* Output --------------------------------------------------------------------------------------- */

void check(struct checks *c, bool good, const char *name)
{
    c->nr++;
    c->nr_bad += !good;
    bare_print("%s %u - %s\n", good ? "ok" : "not ok", c->nr, name);
}

/* Faults are taken out as they come: records are few, and a fault that finds none free is an event.
 */
static void faults_drain(struct checks *c)
{
    struct pvi_fault f;

    while (bare_next_fault(c->h, &f) == 1) {
        c->faults++;
    }
}

void check_dma(struct checks *c, enum edu_verdict got, enum edu_verdict want, const char *name)
{
    static const char *const text[] = {"landed", "blocked", "corrupt"};

    check(c, got == want, name);
    if (got != want) {
        bare_print("# DMA %s, not %s\n", text[got], text[want]);
    }
    if (c->h->unit) {
        faults_drain(c);
    }
}

/* Batches -------------------------------------------------------------------------------------- */

bool submit(struct checks *c, struct pvi_hdom *d, struct pvi_op *ops, uint32_t nr)
{
    static struct pvi_batch batch;
    bool good = true;
    uint32_t i;
    int rc;

    memset(&batch, 0, sizeof(batch));
    batch.ops = ops;
    batch.nr = nr;
    while ((rc = pvi_submit(&d->domain, &batch)) == -PVI_EPREEMPTED) {
        bare_tick = false; /* here a hypervisor does what it was asked for, or runs the guest */
        c->preemptions++;
        if (c->on_preempt) {
            c->on_preempt(c, &ops[batch.next]);
        }
    }
    PVI_ASSERT(rc == 0);
    for (i = 0; i < nr; i++) {
        good = good && ops[i].status == 0;
    }
    return good;
}

int run(struct checks *c, struct pvi_op *op)
{
    (void)submit(c, c->guest, op, 1);
    return op->status;
}

struct pvi_op op_make(uint16_t code, uint16_t ctx, uint32_t flags)
{
    struct pvi_op op;

    memset(&op, 0, sizeof(op));
    op.code = code;
    op.domid = PVI_DOMID_SELF;
    op.ctx = ctx;
    op.flags = flags;
    return op;
}

struct pvi_op op_map(uint16_t ctx, uint64_t dfn, uint64_t gfn, uint64_t nr, uint32_t flags)
{
    struct pvi_op op = op_make(PVI_OP_MAP, ctx, flags);

    op.u.map.dfn.f = dfn;
    op.u.map.gfn.f = gfn;
    op.u.map.nr = nr;
    return op;
}

struct pvi_op op_unmap(uint16_t ctx, uint64_t dfn, uint64_t nr)
{
    struct pvi_op op = op_make(PVI_OP_UNMAP, ctx, 0);

    op.u.unmap.dfn.f = dfn;
    op.u.unmap.nr = nr;
    return op;
}

struct pvi_op op_lookup(uint16_t ctx, uint64_t dfn)
{
    struct pvi_op op = op_make(PVI_OP_LOOKUP, ctx, 0);

    op.u.lookup.dfn.f = dfn;
    return op;
}

struct pvi_op op_reattach(uint16_t ctx, const struct pvi_device *dev)
{
    struct pvi_op op = op_make(PVI_OP_REATTACH_DEVICE, ctx, 0);

    op.u.reattach.sbdf = dev->sbdf;
    return op;
}

struct pvi_op op_init(uint32_t contexts, uint32_t pages)
{
    struct pvi_op op = op_make(PVI_OP_INIT, 0, 0);

    op.u.init.nr_contexts = contexts;
    op.u.init.nr_pages = pages;
    return op;
}

uint16_t context_make(struct checks *c, uint32_t flags)
{
    struct pvi_op op = op_make(PVI_OP_ALLOC_CONTEXT, 0, flags);
    struct pvi_op bounce;

    if (run(c, &op) != 0) {
        bare_fatal("no context");
    }
    bounce = op_map(op.ctx, BOUNCE_DFN, BOUNCE_GFN, 1, PVI_RW);
    if ((flags & PVI_ALLOC_IDENTITY) == 0 && run(c, &bounce) != 0) {
        bare_fatal("no bounce page");
    }
    return op.ctx;
}

bool context_free(struct checks *c, uint16_t ctx)
{
    struct pvi_op op = op_make(PVI_OP_FREE_CONTEXT, ctx, PVI_FREE_REATTACH);

    return run(c, &op) == 0;
}

uint32_t pages_free(struct checks *c)
{
    struct pvi_op op = op_make(PVI_OP_QUERY_CAPS, 0, 0);

    return run(c, &op) == 0 ? op.u.caps.free_pages : 0;
}

uint64_t low_pa(uint64_t gfn)
{
    return LOW_PA + (gfn << PVI_PAGE_LG2);
}

uint64_t iova_of(uint64_t dfn)
{
    return dfn << PVI_PAGE_LG2;
}

uint64_t dfn_end(const struct checks *c)
{
    return (uint64_t)1 << (c->guest->domain.default_ctx.pt.cfg.iova_bits - PVI_PAGE_LG2);
}

/* Up ------------------------------------------------------------------------------------------- */

static void devices_open(struct checks *c)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        if (!edu_open(&c->edu[i], i, SPARE_PA)) {
            bare_fatal(
                "two edu devices with MSI are needed: -device edu,dma_mask=0xffffffffffffffff");
        }
        check_dma(c, edu_write(&c->edu[i], SPARE_PA, SPARE_PA), EDU_LANDED,
                  "no unit: DMA passes untranslated");
    }
}

static bool fault_is(struct checks *c, const struct edu *e, uint64_t iova)
{
    struct pvi_fault f;

    return bare_next_fault(c->h, &f) == 1 && f.translation && f.write && f.rid == e->rid &&
           f.iova == iova;
}

/*
 * QEMU's VT-d records faults; its AMD-Vi never writes the event log (so there is nothing to look
 * at).
 */
static void check_fault(struct checks *c, const struct edu *e, uint64_t iova, const char *name)
{
    enum edu_verdict verdict;

    faults_drain(c);
    verdict = edu_write(e, iova, SPARE_PA);
    if (c->h->unit == &c->h->vtd.unit) {
        check(c, fault_is(c, e, iova), "a fault is recorded");
    }
    check_dma(c, verdict, EDU_BLOCKED, name);
}

static void guest_make(struct checks *c, struct pvi_hdom *d, uint16_t domid)
{
    struct pvi_domain_cfg cfg;

    memset(&cfg, 0, sizeof(cfg));
    cfg.hdom = d;
    cfg.system = &c->h->system;
    cfg.max_contexts = GUEST_CONTEXTS;
    cfg.max_pages = GUEST_PAGES;
    d->domid = domid;
    c->h->guest[domid - 1] = d;
    check(c, pvi_domain_init(&d->domain, c->h, &cfg) == 0 && pvi_domain_start(&d->domain) == 0,
          "a domain");
}

static void guests_make(struct checks *c)
{
    struct pvi_op init = op_init(GUEST_CONTEXTS, GUEST_PAGES);

    c->guest = &guests[0];
    c->guest->control = true;
    bare_guest_range(c->h, c->guest, 0, LOW_NR, LOW_PA, PVI_RW);
    bare_guest_range(c->h, c->guest, ROM_GFN, 1, ROM_PA, PVI_READ);
    bare_guest_range(c->h, c->guest, HIGH_GFN, HIGH_NR, HIGH_PA, PVI_RW);
    guest_make(c, c->guest, 1);
    check(c, submit(c, c->guest, &init, 1), "it initialises its contexts");

    c->other = &guests[1];
    bare_guest_range(c->h, c->other, 0, OTHER_NR, OTHER_PA, PVI_RW);
    guest_make(c, c->other, 2);
    init = op_init(GUEST_CONTEXTS, GUEST_PAGES);
    check(c, submit(c, c->other, &init, 1), "the other one too");
}

static void devices_add(struct checks *c)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        struct pvi_device *dev = &c->dev[i];

        check_fault(c, &c->edu[i], SPARE_PA, "unit on: a device in no domain is blocked");
        dev->sbdf.v = c->edu[i].rid;
        dev->unit = c->h->unit;
        dev->rid[0] = c->edu[i].rid;
        dev->nr_rids = 1;
        check(c, pvi_device_add(&c->guest->domain, dev) == 0, "a device is added");
        check_fault(c, &c->edu[i], SPARE_PA, "in the default context it is blocked");
    }
}

/* Down ----------------------------------------------------------------------------------------- */

static void guest_end(struct checks *c, struct pvi_hdom *d)
{
    int rc;

    pvi_domain_kill(&d->domain);
    do {
        rc = pvi_domain_destroy(&d->domain);
    } while (rc == -PVI_EPREEMPTED);
    check(c, rc == 0 && bare_guest_refs(d) == 0,
          "a domain is destroyed, every frame is free again");
    bare_guest_clear(c->h, d);
}

static void all_down(struct checks *c)
{
    unsigned i;

    for (i = 0; i < 2; i++) {
        check(c, pvi_device_remove(&c->guest->domain, &c->dev[i]) == 0, "a device is taken away");
        check_fault(c, &c->edu[i], SPARE_PA, "it is blocked");
    }
    guest_end(c, c->guest);
    guest_end(c, c->other);
    check(c, bare_msi_count == edu_transfers,
          "each transfer's interrupt has come through the unit");
    check(c, bare_unit_disable(c->h) == 0, "the unit is switched off");
    c->h->unit = NULL;
    check_dma(c, edu_write(&c->edu[0], SPARE_PA, SPARE_PA), EDU_LANDED,
              "no unit: DMA passes untranslated again");
    check(c, c->h->pages_used == 0, "every page of the hypervisor is back");
    check(c, c->h->events == 0, "nothing went wrong on the way");
}

void bare_main(void);

void bare_main(void)
{
    struct checks *c = &checks;

    bare_platform_init();
    if (bare_ram_low() < RAM_END || bare_ram_high() < HIGH_NR * PVI_PAGE_SIZE) {
        bare_fatal("RAM: at least 1 GiB of it is needed above 4 GiB");
    }
    c->h = &host;
    bare_host_init(&host);
    devices_open(c);
    bare_unit_find(&host, c->edu[0].rid);
    guests_make(c);
    devices_add(c);
    check_sizes(c);
    check_contexts(c);
    check_stale(c);
    check_split(c);
    check_identity(c);
    check_exhaustion(c);
    check_hostile(c);
    check_preemption(c);
    check_guests(c);
    check_regions(c);
    all_down(c);
    bare_print("# %s, %u transfers, %u faults\n", host.system.unit[0]->caps.format->name,
               edu_transfers, c->faults);
    bare_print("1..%u\n", c->nr);
    bare_exit(c->nr_bad == 0 ? BARE_EXIT_PASS : BARE_EXIT_FAIL);
}
