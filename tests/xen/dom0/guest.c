/* SPDX-License-Identifier: MIT */
/* See guest.h. Numbers and layouts: Xen's public headers (domctl.h, hvm/save.h), of which two generations are tried. */
#include "guest.h"

#define XEN_MEMORY_OP 12
#define XEN_UPDATE_VA_MAPPING_OTHERDOMAIN 22
#define XEN_SCHED_OP 29
#define XEN_SYSCTL 35
#define XEN_DOMCTL 36
#define SCHEDOP_POLL 3
#define XENMEM_POPULATE_PHYSMAP 6
#define XENMEM_REMOVE_FROM_PHYSMAP 15
#define XENMEM_ADD_TO_PHYSMAP_BATCH 23
#define XENMAPSPACE_GMFN_FOREIGN 4
#define SYSCTL_PHYSINFO 3
#define DOMID_SELF 0x7ff0
#define DOMID_IO 0x7ff1
#define EACCES (-13)

enum {
    CREATE = 1,
    DESTROY = 2,
    PAUSE = 3,
    UNPAUSE = 4,
    GET_INFO = 5,
    MAX_MEM = 11,
    MAX_VCPUS = 15,
    SET_HVM_CONTEXT = 34,
    ASSIGN_DEVICE = 37,
    DEASSIGN_DEVICE = 47,
};

#define CDF_HVM 1u
#define CDF_HAP 2u
#define CDF_IOMMU 0x20u
#define IOMMU_NO_SHAREPT 1u /* QEMU has AMD's nested paging beside either unit */
#define EMU_LAPIC 1u

/* Where things are in the guest's memory: its program and stack, its page tables (2 MiB 1:1), its list. */
enum { PROGRAM, TABLE4, TABLE3, TABLE2, LIST };

#define NAP 50000000u /* ns. One CPU's time goes by instructions, and there a hypercall of an HVM guest takes 10 ms and more */

#define PTE_TABLE 7u
#define PTE_LARGE 0x83u

struct domctl {
    uint32_t cmd, version;
    uint16_t domid, pad[3];
    union {
        uint32_t word[32];
        uint64_t quad[16];
    } u;
};

/* What guest.S reads. */
struct list {
    uint32_t go; /* 0: nothing; 1: once; 2: again and again */
    uint32_t turns;
    uint32_t nr, pad;
    unsigned char structure[64]; /* that of the call which is made */
    struct {
        uint64_t nr, a;
        int64_t result;
        unsigned char structure[64];
    } call[GUEST_CALLS];
};
_Static_assert(sizeof(struct list) <= PAGE, "one page");

extern const unsigned char guest_program[], guest_program_end[];

uint16_t guest_id;
static uint32_t nr_listed;
static bool listing;
static bool seen; /* something of it in the window */
static uint64_t seen_gfn;

void give_way(void)
{
    struct {
        void *ports;
        uint32_t nr, pad;
        uint64_t until;
    } poll = {NULL, 0, 0, now() + NAP};

    (void)xen_call(XEN_SCHED_OP, SCHEDOP_POLL, (unsigned long)&poll, 0, 0);
}

static long control(unsigned cmd, uint16_t domid, struct domctl *c)
{
    static uint32_t version;
    long rc = EACCES;

    c->cmd = cmd;
    c->domid = domid;
    if (version != 0) {
        c->version = version;
        return xen_call(XEN_DOMCTL, (unsigned long)c, 0, 0, 0);
    }
    for (uint32_t v = 0x15; v < 0x20 && rc == EACCES; v++) { /* of 4.17, 4.23 and some more */
        c->version = v;
        rc = xen_call(XEN_DOMCTL, (unsigned long)c, 0, 0, 0);
        if (rc != EACCES) {
            version = v;
        }
    }
    return rc;
}

static uint64_t pages_free_now(void)
{
    struct {
        uint32_t cmd, version;
        uint32_t word[10];
        uint64_t total, free, quad[14];
    } c;

    for (uint32_t v = 0x15; v < 0x20; v++) {
        c.cmd = SYSCTL_PHYSINFO;
        c.version = v;
        if (xen_call(XEN_SYSCTL, (unsigned long)&c, 0, 0, 0) == 0) {
            return c.free;
        }
    }
    return 0;
}

uint64_t pages_free(void)
{
    uint64_t nr = pages_free_now(), before;

    do { /* a domain's last pages go with a timer of an idle CPU, up to a second later */
        before = nr;
        for (unsigned i = 0; i < 20; i++) {
            give_way();
        }
        nr = pages_free_now();
    } while (nr != before);
    return nr;
}

/* --- its memory ------------------------------------------------------------------------------------------------- */

static unsigned char window[PAGE] __attribute__((aligned(4096)));

#ifdef DOM0_PVH

static bool window_set(uint64_t gfn)
{
    uint64_t at = frame_of(window);
    int32_t error = 0;
    struct {
        uint16_t domid, space, size, foreign;
        uint64_t *from, *to;
        int32_t *errors;
    } add = {DOMID_SELF, XENMAPSPACE_GMFN_FOREIGN, 1, guest_id, &gfn, &at, &error};

    return xen_call(XEN_MEMORY_OP, XENMEM_ADD_TO_PHYSMAP_BATCH, (unsigned long)&add, 0, 0) == 0 && error == 0;
}

static void window_end(void)
{
    struct {
        uint16_t domid, pad[3];
        uint64_t gfn;
    } arg = {DOMID_SELF, {0}, frame_of(window)};

    (void)xen_call(XEN_MEMORY_OP, XENMEM_REMOVE_FROM_PHYSMAP, (unsigned long)&arg, 0, 0);
}

#else

#define PTE_MEMORY 0x63u

static bool window_set(uint64_t gfn)
{
    return xen_call(XEN_UPDATE_VA_MAPPING_OTHERDOMAIN, (unsigned long)window, gfn * PAGE | PTE_MEMORY, 2, guest_id) == 0;
}

static void window_end(void)
{
    (void)page_remap(window, 0);
}

#endif

volatile unsigned char *guest_page(uint64_t gfn)
{
    if (!seen || gfn != seen_gfn) {
        if (seen) {
            window_end();
        }
        seen = window_set(gfn);
        seen_gfn = gfn;
    }
    return seen ? window : NULL;
}

static volatile struct list *list(void)
{
    return (volatile struct list *)guest_page(LIST);
}

static bool populate(void)
{
    static uint64_t gfns[GUEST_PAGES];
    struct {
        uint64_t *extents;
        uint64_t nr;
        uint32_t order, flags;
        uint16_t domid;
    } r = {gfns, GUEST_PAGES, 0, 0, guest_id};

    for (unsigned i = 0; i < GUEST_PAGES; i++) {
        gfns[i] = i;
    }
    return xen_call(XEN_MEMORY_OP, XENMEM_POPULATE_PHYSMAP, (unsigned long)&r, 0, 0) == GUEST_PAGES;
}

static bool fill(uint64_t gfn, const void *what, size_t size)
{
    volatile unsigned char *page = guest_page(gfn);

    for (size_t i = 0; page != NULL && i < PAGE; i++) {
        page[i] = i < size ? ((const unsigned char *)what)[i] : 0;
    }
    return page != NULL;
}

static bool load(void)
{
    uint64_t table4 = TABLE3 * PAGE | PTE_TABLE, table3 = TABLE2 * PAGE | PTE_TABLE, table2 = PTE_LARGE;

    return fill(PROGRAM, guest_program, (size_t)(guest_program_end - guest_program)) && fill(TABLE4, &table4, 8) &&
           fill(TABLE3, &table3, 8) && fill(TABLE2, &table2, 8) && fill(LIST, NULL, 0);
}

/* --- its life --------------------------------------------------------------------------------------------------- */

/* The processor's registers, as a saved domain has them. */
struct cpu {
    unsigned char fpu[512];
    uint64_t rax, rbx, gpr[14], rip, rflags, cr0, cr2, cr3, cr4, dr[4], dr6, dr7;
    uint32_t selector[8], limit[10]; /* CS DS ES FS GS SS TR LDTR; IDTR, GDTR */
    uint64_t base[10];
    uint32_t rights[8];
    uint64_t msr[9], efer, tsc_aux, tsc;
    uint32_t event, error, flags, pad;
};

struct saved {
    uint16_t header, header_instance;
    uint32_t header_size, magic, version;
    uint64_t changeset;
    uint32_t cpuid, khz;
    uint16_t cpu, cpu_instance;
    uint32_t cpu_size;
    struct cpu c;
    uint16_t end, end_instance;
    uint32_t end_size;
};
_Static_assert(sizeof(struct cpu) == 1032, "hvm/save.h");

static bool set_cpu(void)
{
    static struct saved s = {
        .header = 1,
        .header_size = 24,
        .magic = 0x54381286,
        .version = 1,
        .cpu = 2,
        .cpu_size = sizeof(struct cpu),
        .c =
            {
                .rbx = LIST * PAGE,
                .rip = PROGRAM * PAGE,
                .rflags = 2,
                .cr0 = 0x80000011,
                .cr3 = TABLE4 * PAGE,
                .cr4 = 0x20,
                .dr6 = 0xffff0ff0,
                .dr7 = 0x400,
                .limit = {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x67},
                .rights = {0xa9b, 0xc93, 0xc93, 0xc93, 0xc93, 0xc93, 0x8b},
                .efer = 0x500,
            },
    };
    struct domctl c = {0};

    c.u.word[0] = sizeof(s);
    c.u.quad[1] = (uint64_t)&s;
    return control(SET_HVM_CONTEXT, guest_id, &c) == 0;
}

/* Newer versions have a word more, before the last four; each refuses what the other wants. */
static bool create(void)
{
    long rc = 0;

    for (unsigned more = 0; more < 2; more++) {
        struct domctl c = {0};

        c.u.word[5] = CDF_HVM | CDF_HAP | CDF_IOMMU;
        c.u.word[6] = IOMMU_NO_SHAREPT;
        c.u.word[7] = 1;           /* CPU */
        c.u.word[8] = 31;          /* event channels */
        c.u.word[9] = 4;           /* pages of grants, of maps of those */
        c.u.word[10] = 4;
        c.u.word[11] = 1;          /* version of grants */
        c.u.word[14 + more] = EMU_LAPIC;
        rc = control(CREATE, (uint16_t)(guest_id + 1), &c);
        if (rc == 0) {
            guest_id++;
            return true;
        }
    }
    note("no guest can be made: %ld", rc);
    return false;
}

bool guest_begin(void)
{
    struct domctl memory = {0}, cpus = {0};

    if (!create()) {
        return false;
    }
    memory.u.quad[0] = GUEST_PAGES * 4 + 1024;
    cpus.u.word[0] = 1;
    seen = false;
    if (control(MAX_MEM, guest_id, &memory) != 0 || control(MAX_VCPUS, guest_id, &cpus) != 0 || !populate()) {
        note("no memory for a guest");
    } else if (!load()) {
        note("no look at a guest's memory");
    } else if (!set_cpu()) {
        note("no processor for a guest");
    } else {
        return true;
    }
    (void)guest_end();
    return false;
}

static bool is_there(void)
{
    struct domctl c = {0};

    return control(GET_INFO, guest_id, &c) == 0 && (uint16_t)c.u.word[0] == guest_id;
}

bool guest_end(void)
{
    struct domctl c = {0};

    if (seen) {
        window_end();
        seen = false;
    }
    if (control(DESTROY, guest_id, &c) != 0) {
        return false;
    }
    for (unsigned i = 0; i < 100 && is_there(); i++) {
        give_way();
    }
    return !is_there();
}

/* --- what it does ------------------------------------------------------------------------------------------------ */

uint64_t guest_structure(void)
{
    return LIST * PAGE + offsetof(struct list, structure);
}

static void add(unsigned long nr, unsigned long a, const void *structure, size_t size)
{
    volatile struct list *l = list();
    uint32_t at = nr_listed++;

    l->call[at].nr = nr;
    l->call[at].a = a;
    for (size_t i = 0; i < size; i++) {
        l->call[at].structure[i] = ((const unsigned char *)structure)[i];
    }
}

/* A guest that does nothing would do so for half of an emulator's time: it is paused then, as it has been since it was made. */
static void go(uint32_t how)
{
    volatile struct list *l = list();
    struct domctl c = {0};

    l->nr = nr_listed;
    l->turns = 0;
    __atomic_store_n(&l->go, how, __ATOMIC_RELEASE);
    (void)control(UNPAUSE, guest_id, &c);
}

void guest_list_begin(void)
{
    nr_listed = 0;
    listing = true;
}

void guest_list_run(void)
{
    listing = false;
    go(2);
}

unsigned guest_turns(void)
{
    return list()->turns;
}

unsigned guest_refused(void)
{
    volatile struct list *l = list();
    unsigned refused = 0;

    for (uint32_t i = 0; i < l->nr; i++) {
        refused += l->call[i].result != 0;
    }
    return refused;
}

long guest_call(unsigned long nr, unsigned long a, void *structure, size_t size)
{
    volatile struct list *l = list();
    struct domctl c = {0};

    if (listing) {
        add(nr, a, structure, size);
        return 0;
    }
    nr_listed = 0;
    add(nr, a, structure, size);
    go(1);
    while (l->go != 0) {
        give_way();
    }
    (void)control(PAUSE, guest_id, &c);
    for (size_t i = 0; i < size; i++) {
        ((unsigned char *)structure)[i] = l->structure[i];
    }
    return l->call[0].result;
}

/* --- its devices ------------------------------------------------------------------------------------------------- */

static long device(unsigned cmd, uint16_t domid, uint32_t sbdf)
{
    struct domctl c = {0};

    c.u.word[2] = sbdf;
    return control(cmd, domid, &c);
}

long guest_assign(uint32_t sbdf)
{
    return device(ASSIGN_DEVICE, guest_id, sbdf);
}

long guest_deassign(uint32_t sbdf)
{
    return device(DEASSIGN_DEVICE, guest_id, sbdf);
}

long quarantine_deassign(uint32_t sbdf)
{
    return device(DEASSIGN_DEVICE, DOMID_IO, sbdf);
}
