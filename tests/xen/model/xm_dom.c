/* SPDX-License-Identifier: MIT */
/* Domains, their frames, and calls of theirs. */
#include "xm_int.h"

#include <xen/random.h>
#include <xsm/xsm.h>

#include <asm/paging.h>

#include "../../../shim/xen/shim.h"

#define FIRST_HWDOM 1024u
#define FIRST_GUEST 2048u /* of domain slot 1; FIRST_FREE of xm_mem.c is behind them */
#define GUEST_BYTES 0x10000u

struct xm_domain xm_domains[XM_MOST_DOMAINS];
__thread unsigned int xm_cpu;
unsigned int paddr_bits = 46;
struct cpuinfo_x86 boot_cpu_data;
bool iommu_enabled = true;
struct rangeset *mmio_ro_ranges;

static struct vcpu vcpus[XM_CPUS];
static unsigned char memory[XM_CPUS][GUEST_BYTES];
static unsigned int gfns_locked[XM_CPUS], preempt_at, preempt_asked, copy_at, copy_byte, copies, complaints;
static bool no_sharing = true;
static const struct domain *suspect;
static struct {
    uint32_t word;
    void *arg;
    bool made;
} next[XM_CPUS];
static void (*meanwhile)(void *ctxt);
static void *meanwhile_ctxt;
static unsigned int meanwhile_at;
static void (*key_handler)(unsigned char key);
static unsigned char handled;

static struct xm_domain *of(const struct domain *d)
{
    return container_of((struct domain *)d, struct xm_domain, d);
}

/* --- domains -------------------------------------------------------------------------------- */

struct xm_domain *xm_hwdom(void)
{
    return &xm_domains[0];
}

struct xm_domain *xm_domain_create(uint16_t domid, bool pv)
{
    struct xm_domain *d = xm_domains;
    unsigned int i;
    uint64_t home;

    while (d->used) {
        d++;
        XM_CHECK(d < xm_domains + XM_MOST_DOMAINS, "the model is too small for the domains");
    }
    home = d->home; /* the frames are the same */
    XM_CHECK(!home || d->pv == pv, "a domain of another kind in the same place");
    memset(d, 0, sizeof(*d));
    d->home = home;
    d->used = true;
    d->pv = pv;
    d->d.domain_id = domid;
    d->p2m = (struct p2m_domain *)d;
    i = (unsigned int)(d - xm_domains);
    d->first = i ? FIRST_GUEST + (i - 1) * XM_GUEST_FRAMES : FIRST_HWDOM;
    d->nr = i ? XM_GUEST_FRAMES : XM_HWDOM_FRAMES;
    XM_CHECK(i < 2, "one guest at a time");
    for (i = d->first; i < d->first + d->nr; i++) {
        XM_CHECK(xm_frames[i].use == XM_FREE || xm_frames[i].use == XM_POOL, "frame %#x is still somebody's", i);
        memset(&xm_frames[i], 0, sizeof(xm_frames[i]));
        xm_frames[i].use = XM_GUEST;
        xm_frames[i].owner = &d->d;
        xm_frames[i].allocated = true;
    }
    return d;
}

void xm_domain_dies(struct xm_domain *d)
{
    d->d.is_dying = 1;
}

bool xm_domain_relinquish(struct xm_domain *d)
{
    unsigned int was = xm_cpu;
    int rc;

    xm_cpu = 1;
    rc = pviommu_relinquish(&d->d);
    xm_idle();
    xm_cpu = was;
    XM_CHECK(!rc || rc == -ERESTART, "relinquish: %d", rc);
    return !rc;
}

void xm_domain_ends(struct xm_domain *d)
{
    unsigned int turns;

    for (turns = 0; !xm_domain_relinquish(d); turns++) {
        XM_CHECK(turns < 5000, "a domain that does not end");
    }
}

void xm_domain_destroy(struct xm_domain *d)
{
    unsigned int i;

    XM_CHECK(!d->d.pdev_list && !d->rcu[0] && !d->rcu[1], "a domain ends with devices, or with somebody at it");
    for (i = 0; i < d->nr; i++) {
        if (xm_frames[d->first + i].owner == &d->d) {
            xm_frames[d->first + i].allocated = false;
            XM_CHECK(!xm_frames[d->first + i].refs, "frame %#x is kept by %u references", d->first + i, xm_frames[d->first + i].refs);
            xm_frame_free(d->first + i);
        }
    }
    d->used = false;
}

uint64_t xm_context_reach(const struct xm_domain *d, unsigned int ctx, uint64_t last)
{
    struct pvi_pt *pt = &shim_domain_find(&d->d)->dom.slot[ctx - 1]->pt;
    uint64_t before = pt->pa_last;

    pt->pa_last = last;
    return before;
}

bool is_hardware_domain(const struct domain *d)
{
    return d == &xm_domains[0].d;
}

bool is_pv_domain(const struct domain *d)
{
    return of(d)->pv;
}

bool paging_mode_translate(const struct domain *d)
{
    return !of(d)->pv;
}

bool is_iommu_enabled(const struct domain *d)
{
    return of(d)->used;
}

bool arch_iommu_use_permitted(const struct domain *d)
{
    return no_sharing;
}

void xm_no_sharing(bool ok)
{
    no_sharing = ok;
}

unsigned int get_random(void)
{
    return 0x5eed;
}

void xm_policy(const struct xm_domain *who, bool denied)
{
    suspect = denied && who ? &who->d : NULL;
}

int xsm_add_to_physmap(xsm_default_t action, struct domain *d, struct domain *t)
{
    XM_CHECK(action == XSM_TARGET, "action %u", action);
    return t == suspect || (d != t && !is_hardware_domain(d)) ? -1 : 0;
}

int xsm_map_gmfn_foreign(xsm_default_t action, struct domain *d, struct domain *t)
{
    return xsm_add_to_physmap(action, d, t);
}

struct domain *rcu_lock_domain_by_id(domid_t id)
{
    struct domain *found = NULL;
    unsigned int i;

    xm_in();
    for (i = 0; i < XM_MOST_DOMAINS; i++) {
        if (xm_domains[i].used && xm_domains[i].d.domain_id == id) {
            xm_domains[i].rcu[xm_cpu]++;
            found = &xm_domains[i].d;
        }
    }
    xm_out();
    return found;
}

void rcu_unlock_domain(struct domain *d)
{
    xm_in();
    XM_CHECK(of(d)->rcu[xm_cpu]--, "a domain is let go that nobody has");
    xm_out();
}

struct vcpu *get_current(void)
{
    return &vcpus[xm_cpu];
}

/* --- frames --------------------------------------------------------------------------------- */

/* A translated guest's frames: the lower half shuffled, the upper half in one piece. */
uint64_t xm_mfn(const struct xm_domain *d, unsigned int n)
{
    return d->first + (d->pv || n >= d->nr / 2 ? n : n ^ 5);
}

uint64_t xm_gfn(const struct xm_domain *d, unsigned int n)
{
    return d->pv ? xm_mfn(d, n) : n;
}

bool xm_make_table(struct xm_domain *d, unsigned int n)
{
    struct xm_frame *f = &xm_frames[xm_mfn(d, n)];

    f->is_table = f->is_table || !f->types;
    return f->is_table;
}

void xm_end_table(struct xm_domain *d, unsigned int n)
{
    xm_frames[xm_mfn(d, n)].is_table = false;
}

void xm_give_up(struct xm_domain *d, unsigned int n)
{
    unsigned long mfn = xm_mfn(d, n);

    xm_frames[mfn].allocated = false;
    d->kind[n] = XM_OTHERS + 1;
    xm_frame_free(mfn);
}

void xm_p2m(struct xm_domain *d, unsigned int n, enum xm_kind kind)
{
    d->kind[n] = (uint8_t)kind;
}

static p2m_type_t type_of(const struct xm_domain *d, unsigned long gfn)
{
    static const p2m_type_t types[] = { p2m_ram_rw, p2m_ram_ro, p2m_ram_paged, p2m_mmio_direct, p2m_map_foreign, p2m_invalid };

    return gfn < d->nr ? types[d->kind[gfn]] : p2m_invalid;
}

struct page_info *get_page_from_gfn(struct domain *dom, unsigned long gfn, p2m_type_t *type, unsigned int q)
{
    struct xm_domain *d = of(dom);
    struct xm_frame *f = NULL;

    XM_CHECK(!xm_atomic(), "a frame is looked for under a spinlock");
    XM_CHECK(q == P2M_ALLOC, "a frame is looked for, and not wanted");
    *type = p2m_ram_rw;
    if (!d->pv) {
        *type = type_of(d, gfn);
        if (*type == p2m_map_foreign) {
            f = &xm_frames[xm_domains[d == xm_domains].first];
        } else if (*type == p2m_ram_rw || *type == p2m_ram_ro) {
            f = &xm_frames[xm_mfn(d, (unsigned int)gfn)];
        }
    } else if (gfn < XM_FRAMES) {
        f = xm_frames[gfn].owner == dom ? &xm_frames[gfn] : NULL;
    }
    xm_in();
    if (f && f->use == XM_GUEST) {
        f->refs++;
    } else {
        f = NULL;
    }
    xm_out();
    return f ? &f->pg : NULL;
}

struct p2m_domain *p2m_get_hostp2m(const struct domain *d)
{
    return of(d)->p2m;
}

mfn_t get_gfn_type_access(struct p2m_domain *p2m, unsigned long gfn, p2m_type_t *type, p2m_access_t *access, unsigned int q,
                          unsigned int *order)
{
    const struct xm_domain *d = (const struct xm_domain *)p2m;

    XM_CHECK(!d->pv && !xm_atomic(), "the p2m is looked at where there is none, or under a spinlock");
    gfns_locked[xm_cpu]++;
    xm_looked(16);
    *type = type_of(d, gfn);
    *access = p2m_access_n;
    *order = 0;
    return _mfn(gfn < d->nr ? xm_mfn(d, (unsigned int)gfn) : ~0UL);
}

void put_gfn(struct domain *d, unsigned long gfn)
{
    XM_CHECK(gfns_locked[xm_cpu]--, "a gfn is put that was not got");
}

gfn_t mfn_to_gfn(const struct domain *dom, mfn_t mfn)
{
    const struct xm_domain *d = of(dom);
    unsigned int n;

    if (d->pv) {
        return (gfn_t){ mfn_x(mfn) };
    }
    for (n = 0; n < d->nr && xm_mfn(d, n) != mfn_x(mfn); n++) {
    }
    return (gfn_t){ n < d->nr ? n : ~0UL };
}

unsigned long domain_get_maximum_gpfn(struct domain *d)
{
    return of(d)->nr - 1;
}

bool iomem_access_permitted(const struct domain *d, unsigned long first, unsigned long last)
{
    return is_hardware_domain(d) && first <= last &&
           ((first >= XM_MMIO && last < XM_MMIO + 8) || (first >= XM_MSI - 1 && last < XM_MSI + 257));
}

bool rangeset_contains_singleton(struct rangeset *r, unsigned long n)
{
    return n == XM_MMIO + 3;
}

/* --- calls ---------------------------------------------------------------------------------- */

unsigned char *xm_guest_memory(void)
{
    return memory[xm_cpu];
}

void xm_enter(unsigned int cpu, struct xm_domain *d, bool compat)
{
    xm_cpu = cpu;
    vcpus[cpu].domain = &d->d;
    vcpus[cpu].hcall_compat = compat;
}

void xm_preempt_at(unsigned int n)
{
    preempt_at = n;
    preempt_asked = 0;
}

unsigned int xm_preempt_asked(void)
{
    return preempt_asked;
}

void xm_meanwhile_at(unsigned int n, void (*what)(void *), void *ctxt)
{
    meanwhile_at = n;
    meanwhile = what;
    meanwhile_ctxt = ctxt;
}

unsigned int xm_meanwhile_left(void)
{
    return meanwhile_at;
}

/* No lock is held: another processor may come in between. */
static void between(void)
{
    unsigned int cpu = xm_cpu;

    if (meanwhile_at && --meanwhile_at == 0) {
        struct vcpu was = vcpus[1];

        xm_cpu = 1;
        meanwhile(meanwhile_ctxt);
        xm_idle();
        xm_cpu = cpu;
        vcpus[1] = was;
    }
}

bool hypercall_preempt_check(void)
{
    unsigned int asked = __atomic_add_fetch(&preempt_asked, 1, __ATOMIC_RELAXED);

    XM_CHECK(!xm_atomic(), "the clock is looked at under a spinlock");
    xm_looked_at_clock();
    between();
    return preempt_at == ~0U || preempt_at == asked;
}

unsigned long hypercall_create_continuation(unsigned int number, const char *format, ...)
{
    __builtin_va_list args;
    bool bus = number == __HYPERVISOR_iommu_bus_op;

    XM_CHECK((bus || number == __HYPERVISOR_iommu_op) && format[bus] == 'i' && format[!bus] == 'h' && !format[2], "continuation \"%s\"", format);
    XM_CHECK(!xm_atomic() && !next[xm_cpu].made, "a continuation under a lock, or a second one");
    __builtin_va_start(args, format);
    if (!bus) {
        next[xm_cpu].word = __builtin_va_arg(args, unsigned int);
    }
    next[xm_cpu].arg = __builtin_va_arg(args, XEN_GUEST_HANDLE_PARAM(void)).p;
    if (bus) {
        next[xm_cpu].word = __builtin_va_arg(args, unsigned int);
    }
    __builtin_va_end(args);
    next[xm_cpu].made = true;
    return number;
}

void xm_copy_fails_at(unsigned int n, unsigned int byte)
{
    copy_at = n;
    copy_byte = byte;
    copies = 0;
}

unsigned int xm_copies(void)
{
    return copies;
}

/* How much of it can be copied; *p: the caller's memory. */
static unsigned int reachable(uint64_t va, unsigned int len, unsigned char **p)
{
    uint64_t most = va >= XM_GUEST_VA && va < XM_GUEST_VA + GUEST_BYTES ? XM_GUEST_VA + GUEST_BYTES - va : 0;

    XM_CHECK(!xm_atomic(), "the caller's memory is copied under a spinlock");
    between();
    *p = memory[xm_cpu] + (most ? va - XM_GUEST_VA : 0);
    most = len < most ? len : most;
    if (__atomic_add_fetch(&copies, 1, __ATOMIC_RELAXED) == copy_at && copy_byte < most) {
        most = copy_byte;
    }
    return (unsigned int)most;
}

unsigned int raw_copy_from_guest(void *to, const void *from, unsigned int len)
{
    unsigned char *p;
    unsigned int nr = reachable((uint64_t)from, len, &p);

    memcpy(to, p, nr);
    memset((unsigned char *)to + nr, 0, len - nr); /* as Xen does */
    return len - nr;
}

unsigned int raw_copy_to_guest(void *to, const void *from, unsigned int len)
{
    unsigned char *p;
    unsigned int nr = reachable((uint64_t)to, len, &p);

    memcpy(p, from, nr);
    return len - nr;
}

void xm_maps_idle(void);

void xm_idle(void)
{
    unsigned int i;

    xm_locks_idle();
    xm_entries_check();
    xm_maps_idle();
    XM_CHECK(!gfns_locked[xm_cpu], "a gfn is left locked");
    for (i = 0; i < XM_MOST_DOMAINS; i++) {
        XM_CHECK(!xm_domains[i].rcu[xm_cpu], "a domain is left locked by rcu");
    }
}

long xm_call(uint32_t *word, uint64_t arg, bool *again)
{
    XEN_GUEST_HANDLE_PARAM(void) handle = { (void *)arg };
    long rc;

    next[xm_cpu].made = false;
    xm_looked_at_clock();
    rc = do_iommu_op(*word, handle);
    xm_idle();
    *again = next[xm_cpu].made;
    if (*again) {
        XM_CHECK(rc == __HYPERVISOR_iommu_op && next[xm_cpu].arg == handle.p, "a continuation, and %ld", rc);
        *word = next[xm_cpu].word;
        rc = 0;
    }
    return rc;
}

long xm_bus_call(uint64_t *arg, uint32_t *count, bool *again)
{
    XEN_GUEST_HANDLE_PARAM(void) handle = { (void *)*arg };
    long rc;

    next[xm_cpu].made = false;
    xm_looked_at_clock();
    rc = do_iommu_bus_op(handle, *count);
    xm_idle();
    *again = next[xm_cpu].made;
    if (*again) {
        XM_CHECK(rc == __HYPERVISOR_iommu_bus_op, "a continuation, and %ld", rc);
        *arg = (uint64_t)next[xm_cpu].arg;
        *count = next[xm_cpu].word;
        rc = 0;
    }
    return rc;
}

/* --- the command line ------------------------------------------------------------------------- */

static int (*options)(const char *text);

/* Page tables of hypercall 56 are set aside at its first map: less of them, for less memory. */
void xm_param(int (*parse)(const char *text))
{
    options = parse;
    (void)parse("bus-pages=512");
}

int xm_options(const char *text)
{
    return options(text);
}

static int is_word(const char *s, const char *end, const char *word)
{
    return strlen(word) == (size_t)(end - s) && strncmp(s, word, strlen(word)) == 0;
}

int parse_bool(const char *s, const char *end)
{
    static const char *const words[2][5] = {{"no", "off", "false", "disable", "0"}, {"yes", "on", "true", "enable", "1"}};

    for (int i = 0; i < 10; i++) {
        if (is_word(s, end, words[i / 5][i % 5])) {
            return i / 5;
        }
    }
    return -1;
}

int parse_boolean(const char *name, const char *s, const char *end)
{
    int yes = strncmp(s, "no-", 3) != 0;

    s += yes ? 0 : 3;
    if (strncmp(s, name, strlen(name)) != 0) {
        return -1;
    }
    s += strlen(name);
    return s == end ? yes : *s == '=' && yes ? parse_bool(s + 1, end) : -1;
}

/* --- the log ---------------------------------------------------------------------------------- */

void printk(const char *format, ...)
{
    __builtin_va_list args;

    complaints += format[0] == '<';
    __builtin_va_start(args, format);
    xm_host_log(format, args);
    __builtin_va_end(args);
}

int printk_ratelimit(void)
{
    return 1;
}

unsigned int xm_complaints(void)
{
    return complaints;
}

void register_keyhandler(unsigned char key, void (*handler)(unsigned char key), const char *text, bool diagnostic)
{
    handled = key;
    key_handler = handler;
}

void xm_key(unsigned char key)
{
    XM_CHECK(key == handled, "nobody has key %c", key);
    key_handler(key);
    xm_idle();
}
