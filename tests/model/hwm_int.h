/* SPDX-License-Identifier: MIT */
/* Hardware model: what its own files share. Not for tests. */
#ifndef HWM_INT_H
#define HWM_INT_H

#include "hwm.h"

/* ---- hwm_cache.c --------------------------------------------------------------------------- */

/* One cached thing: (tag, address >> lg2) is its key. */
struct hwm_ce {
    uint64_t tag;
    uint64_t base;    /* first address, aligned to lg2 */
    uint64_t hold_pa; /* what it keeps alive, if holds */
    uint64_t v[4];
    uint8_t lg2;
    uint8_t hold_lg2;
    uint8_t state; /* HWM_CE_* */
    uint8_t level;
    bool holds;
    bool neg; /* a cached not-present (or erroneous) result */
    bool r, w, u, a, dirty;
    uint16_t did;
    uint8_t reason; /* neg context entries: fault reason */
};

#define HWM_CE_FREE 0
#define HWM_CE_DEAD 1
#define HWM_CE_USED 2

struct hwm_cache {
    struct hwm_ce *tab;
    size_t cap, used, dead;
    uint64_t sizes; /* bit n: entries of lg2 n exist */
    size_t per_lg2[64];
    struct hwm_cache *holds; /* reverse map (hold_pa, hold_lg2) -> count, or NULL */
};

void hwm_cache_init(struct hwm_cache *c, struct hwm_cache *holds);
void hwm_cache_free(struct hwm_cache *c);
void hwm_cache_clear(struct hwm_cache *c);
struct hwm_ce *hwm_cache_find(const struct hwm_cache *c, uint64_t tag, unsigned lg2, uint64_t addr);
/* Smallest entry of at least from_lg2 that holds the address. */
struct hwm_ce *hwm_cache_lookup(const struct hwm_cache *c, uint64_t tag, uint64_t addr,
                                unsigned from_lg2);
/*
 * A new entry with its key set and the rest zero; NULL if the key exists. Pointers into the cache
 * become stale.
 */
struct hwm_ce *hwm_cache_add(struct hwm_cache *c, uint64_t tag, unsigned lg2, uint64_t addr);
void hwm_cache_hold(struct hwm_cache *c, struct hwm_ce *ce, uint64_t pa, unsigned lg2);
void hwm_cache_del(struct hwm_cache *c, struct hwm_ce *ce);
typedef bool hwm_cache_pick(void *ctx, const struct hwm_ce *ce);
/*
 * Drops what pick() picks (NULL: all) among the entries of the tag that intersect the range, lg2
 * 64 = everything.
 */
void hwm_cache_drop(struct hwm_cache *c, uint64_t tag, uint64_t addr, unsigned lg2,
                    hwm_cache_pick *pick, void *ctx);
void hwm_cache_drop_if(struct hwm_cache *c, hwm_cache_pick *pick, void *ctx);
bool hwm_cache_holds_range(const struct hwm_cache *holds, uint64_t pa, uint64_t len);

/* ---- the unit ------------------------------------------------------------------------------ */

struct hwm_cmd {
    uint64_t w[4];
    uint64_t pa; /* where it was fetched */
};

#define HWM_NR_VIOLATIONS 64
#define HWM_MMIO_MAX      0x4000u

struct hwm_vtd {
    struct hwm_vtd_cfg cfg;
    uint64_t cap, ecap, cap_seen, ecap_seen;
    uint64_t root;         /* RTADDR as latched by SRTP */
    uint32_t gcmd_pending; /* one-shot and level changes not yet done */
    uint32_t gcmd_value;
    bool ccmd_pending, iotlb_pending;
    bool root_ever, root_needs_cc, root_needs_pc, root_needs_tlb;
    unsigned frcd_next;
    bool fault_signalled;
};

struct hwm_amd {
    struct hwm_amd_cfg cfg;
    bool cmd_error;     /* stopped until CmdBufEn is cleared and set again */
    bool event_stopped; /* overflow: until EventLogEn is cleared and set again */
    uint64_t late_pa;   /* erratum 732: entry written later */
    uint64_t late[2];
    unsigned late_polls; /* 0: none waits */
};

struct hwm {
    bool amd;
    struct hwm_mem mem;
    struct hwm_vtd vtd;
    struct hwm_amd iommu;
    uint32_t mmio[HWM_MMIO_MAX / 4];

    struct hwm_cache ctx, pasid, iotlb, psc, devtlb;
    struct hwm_cache hold_root, hold_table, hold_leaf, hold_dev;
    bool fracture;

    struct hwm_cmd *fifo;
    size_t fifo_head, fifo_nr, fifo_cap;
    bool lazy, stalled, executing;
    unsigned polls_per_cmd, polls;
    uint32_t reorder;
    enum hwm_inject inject;
    unsigned inject_skip;

    struct {
        uint64_t iova;
        uint16_t rid;
        bool ats;
    } * watch;
    size_t watch_nr, watch_cap;
    bool watching;

    struct hwm_told *log;
    size_t log_nr, log_cap;
    uint64_t counts[HWM_KINDS];
    uint64_t seq;
    uint64_t msis[HWM_MSIS];

    char violation[HWM_NR_VIOLATIONS][160];
    size_t nr_violations;
};

/* hwm.c */
void hwm_violate(struct hwm *h, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void hwm_tell(struct hwm *h, const struct hwm_told *t);
void hwm_fifo_push(struct hwm *h, const struct hwm_cmd *cmd);
void hwm_fifo_clear(struct hwm *h);
bool hwm_inject_now(struct hwm *h, enum hwm_inject what);
void hwm_kick(struct hwm *h); /* new work: eager units do it now */
void hwm_send_msi(struct hwm *h, enum hwm_msi which, uint64_t addr, uint32_t data);
void hwm_drain_writes(struct hwm *h);

static inline uint64_t hwm_reg64(const struct hwm *h, unsigned off)
{
    return h->mmio[off / 4] | (uint64_t)h->mmio[off / 4 + 1] << 32;
}

static inline void hwm_set64(struct hwm *h, unsigned off, uint64_t val)
{
    h->mmio[off / 4] = (uint32_t)val;
    h->mmio[off / 4 + 1] = (uint32_t)(val >> 32);
}

static inline bool hwm_mem_ok(const struct hwm *h, uint64_t pa, uint64_t len)
{
    return !h->mem.valid || h->mem.valid(h->mem.opaque, pa, len);
}

static inline uint64_t hwm_low_mask(unsigned bits)
{
    return bits >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << bits) - 1;
}

/*
 * Size code of AMD address words, of next-level 7 and of VT-d device-TLB descriptors: 2^(p+1), p
 * = first 0 from bit 12.
 */
static inline unsigned hwm_size_code_lg2(uint64_t word)
{
    unsigned p = 12;

    while (p < 64 && (word >> p & 1)) {
        p++;
    }
    return p + 1;
}

/* hwm_tables.c */
enum hwm_step_kind { HWM_STEP_TABLE, HWM_STEP_LEAF, HWM_STEP_ABSENT, HWM_STEP_BAD };

struct hwm_step_out {
    enum hwm_step_kind kind;
    enum hwm_status bad; /* STEP_BAD */
    const char *why;
    uint64_t next; /* table, or first byte of the leaf */
    unsigned next_level;
    unsigned lg2;
    bool r, w, u, accessed, dirty, misaligned;
};

void hwm_decode(const struct hwm_fmt *fmt, unsigned level, uint64_t entry, struct hwm_step_out *d);
unsigned hwm_slot_lg2(unsigned level);
uint64_t hwm_ad_bits(const struct hwm_fmt *fmt, bool dirty);
/* AMD: a link that skips levels demands zero bits; true when the address obeys. */
bool hwm_skip_ok(unsigned level, unsigned next_level, uint64_t iova);

/* hwm_walk.c: one translation through the caches */
#define HWM_F_USE    0x1u /* caches may answer */
#define HWM_F_FILL   0x2u /* results are cached */
#define HWM_F_RECORD 0x4u /* faults reach software */

enum hwm_mode { HWM_MODE_WALK, HWM_MODE_IDENTITY };

/* Where a request is translated: what the context entry or the DTE says. */
struct hwm_space {
    enum hwm_mode mode;
    struct hwm_fmt fmt;
    uint64_t tag;
    uint64_t root;
    unsigned levels;
    unsigned bits; /* width of input addresses */
    uint16_t did;
    bool r, w;      /* rights above the tables */
    bool ad, dirty; /* hardware sets A, D */
    bool cache_absent;
};

#define HWM_TAG(did, pasid, first_stage)                                                           \
    ((uint64_t)(did) | (uint64_t)(pasid) << 16 | (uint64_t)(first_stage) << 40)

struct hwm_hit {
    struct hwm_leaf leaf;
    bool cached, ambiguous;
};

void hwm_translate(struct hwm *h, const struct hwm_space *sp, uint64_t iova, bool write,
                   unsigned flags, struct hwm_hit *hit);
void hwm_drop_pages(struct hwm *h, uint64_t tag, const struct hwm_fmt *fmt, uint64_t iova,
                    unsigned lg2, bool leaf_only);
void hwm_drop_tag(struct hwm *h, uint64_t tag);
void hwm_drop_all_tlb(struct hwm *h);
void hwm_drop_devtlb(struct hwm *h, uint16_t rid, uint64_t iova, unsigned lg2);

/* hwm_vtd*.c */
void hwm_vtd_reset(struct hwm *h);
uint64_t hwm_vtd_read(struct hwm *h, unsigned off);
void hwm_vtd_write(struct hwm *h, unsigned off, uint32_t val);
bool hwm_vtd_writable(struct hwm *h, unsigned off, unsigned size);
void hwm_vtd_fetch(struct hwm *h);
void hwm_vtd_exec(struct hwm *h, const struct hwm_cmd *cmd);
bool hwm_vtd_exec_register(struct hwm *h); /* true: one register command was executed */
size_t hwm_vtd_register_pending(const struct hwm *h);
unsigned hwm_vtd_frcd_off(const struct hwm *h);
unsigned hwm_vtd_iotlb_off(const struct hwm *h);
void hwm_vtd_status_event(struct hwm *h, uint32_t fsts_bit);
void hwm_vtd_fault(struct hwm *h, const struct hwm_req *req, unsigned reason);
void hwm_vtd_drop_ctx(struct hwm *h, unsigned gran, uint16_t did, uint16_t sid, unsigned fm,
                      bool by_register, uint64_t raw);
void hwm_vtd_drop_iotlb(struct hwm *h, unsigned gran, uint16_t did, uint64_t addr_word,
                        bool by_register, const uint64_t raw[2]);
void hwm_vtd_xlat(struct hwm *h, const struct hwm_req *req, unsigned flags, struct hwm_xlat *x);
unsigned hwm_vtd_did_ok(const struct hwm *h, unsigned did);
struct hwm_fmt hwm_vtd_ss_fmt(const struct hwm *h);
struct hwm_fmt hwm_vtd_fs_fmt(const struct hwm *h);

/* hwm_amd*.c */
void hwm_amd_reset(struct hwm *h);
uint64_t hwm_amd_read(struct hwm *h, unsigned off);
void hwm_amd_write(struct hwm *h, unsigned off, uint32_t val);
void hwm_amd_fetch(struct hwm *h);
void hwm_amd_exec(struct hwm *h, const struct hwm_cmd *cmd);
void hwm_amd_poll(struct hwm *h);
bool hwm_amd_event(struct hwm *h, uint64_t w0, uint64_t w1);
void hwm_amd_xlat(struct hwm *h, const struct hwm_req *req, unsigned flags, struct hwm_xlat *x);
struct hwm_fmt hwm_amd_v1_fmt(const struct hwm *h);
struct hwm_fmt hwm_amd_v2_fmt(const struct hwm *h);

#endif
