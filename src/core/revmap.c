/* SPDX-License-Identifier: MIT */
/*
 * The reverse map. A frame that a domain has mapped has a record, which lists the entries; so has an io-server. An entry is
 * found by its domain and device frame, a frame's record by domain and frame, an io-server by domain, owner and number. A frame's records
 * of all domains are found by going through the domains, which are emulators, and few.
 *
 * The hash multiplies by a secret odd number: whatever set of keys a guest chooses, buckets are even on average.
 */
#include "core.h"
#include "rev_list.h"
#include "revmap.h"

enum rev_state {
    REV_PENDING, /* its maker is about to store the leaf */
    REV_LIVE,
    REV_SWAPPED, /* leads to the scratch frame; of no frame */
    REV_DEAD     /* in no list any more; its maker frees it */
};

struct rev_frame {
    struct pvi_rev_link hash, entries;
    struct pvi_bus *bus;
    uint64_t pa;
    uint32_t nr_keep; /* entries that cannot be moved */
    bool going;       /* its owner gave it up: none can be added */
};

struct rev_server {
    struct pvi_rev_link hash, of_bus, of_owner, entries;
    struct pvi_bus *bus;
    uint16_t owner, id;
};

struct pvi_rev_entry {
    struct pvi_rev_link hash, of_frame, of_server;
    struct pvi_bus *bus;
    struct rev_frame *frame; /* NULL: swapped */
    struct rev_server *server;
    uint64_t dfn, pa;
    uint8_t prot, owe, state;
    bool swap, told;
};

union rev_cell {
    union rev_cell *next;
    struct rev_frame frame;
    struct rev_server server;
    struct pvi_rev_entry entry;
};

/* A piece of storage, about a page. */
#define REV_CELLS ((PVI_PAGE_SIZE - 16) / sizeof(union rev_cell))
struct rev_chunk {
    struct rev_chunk *next;
    union rev_cell cell[REV_CELLS];
};

enum rev_kind { REV_FRAMES, REV_ENTRIES, REV_SERVERS, REV_OWNERS, REV_KINDS };

static struct pvi_rev_link *bucket(const struct pvi_revmap *map, enum rev_kind kind, uint64_t key, uint32_t number)
{
    uint64_t hash = (key ^ ((uint64_t)number << 44)) * map->factor;

    return &map->bucket[((size_t)kind << map->lg2) + (size_t)(hash >> (64 - map->lg2))];
}

static struct pvi_revmap *map_of(const struct pvi_bus *bus)
{
    return bus->domain->cfg.revmap;
}

static struct rev_frame *frame_find(const struct pvi_bus *bus, uint64_t pa)
{
    struct pvi_rev_link *head = bucket(map_of(bus), REV_FRAMES, pa >> PVI_PAGE_LG2, bus->number), *at;

    for (at = head->next; at != head; at = at->next) {
        struct rev_frame *f = REV_OF(struct rev_frame, hash, at);

        if (f->pa == pa && f->bus == bus) {
            return f;
        }
    }
    return NULL;
}

static struct rev_server *server_find(const struct pvi_bus *bus, uint16_t owner, uint16_t id)
{
    struct pvi_rev_link *head = bucket(map_of(bus), REV_SERVERS, (uint32_t)owner << 16 | id, bus->number), *at;

    for (at = head->next; at != head; at = at->next) {
        struct rev_server *s = REV_OF(struct rev_server, hash, at);

        if (s->owner == owner && s->id == id && s->bus == bus) {
            return s;
        }
    }
    return NULL;
}

/* The first entry at dfn from `after` on (NULL: from the beginning): one for each io-server of the frame's owner at most. */
static struct pvi_rev_entry *entry_find(const struct pvi_bus *bus, uint64_t dfn, const struct pvi_rev_entry *after)
{
    struct pvi_rev_link *head = bucket(map_of(bus), REV_ENTRIES, dfn, bus->number);
    struct pvi_rev_link *at = after ? after->hash.next : head->next;

    for (; at != head; at = at->next) {
        struct pvi_rev_entry *e = REV_OF(struct pvi_rev_entry, hash, at);

        if (e->dfn == dfn && e->bus == bus) {
            return e;
        }
    }
    return NULL;
}

static union rev_cell *cell_get(struct pvi_bus *bus)
{
    union rev_cell *cell = bus->free;

    PVI_ASSERT(cell != NULL);
    bus->free = cell->next;
    bus->nr_free--;
    return cell;
}

static void cell_put(struct pvi_bus *bus, void *p)
{
    union rev_cell *cell = p;

    cell->next = bus->free;
    bus->free = cell;
    bus->nr_free++;
}

/* Takes the lock with room for one entry, one frame and one io-server; on an error it is not taken. */
static int lock_with_room(struct pvi_bus *bus)
{
    struct pvi_revmap *map = map_of(bus);
    struct rev_chunk *chunk;
    uint32_t i;

    pvi_env_acquire(map->host, &map->lock);
    while (bus->nr_free < 3) {
        pvi_env_release(map->host, &map->lock);
        chunk = pvi_host_mem_alloc(map->host, sizeof(*chunk));
        if (!chunk) {
            return -PVI_ENOMEM;
        }
        pvi_env_acquire(map->host, &map->lock);
        chunk->next = bus->chunks;
        bus->chunks = chunk;
        for (i = 0; i < REV_CELLS; i++) {
            cell_put(bus, &chunk->cell[i]);
        }
    }
    return 0;
}

/* --- records ---------------------------------------------------------------------------------------- */

static struct rev_frame *frame_get(struct pvi_bus *bus, uint64_t pa)
{
    struct rev_frame *f = frame_find(bus, pa);

    if (!f) {
        f = &cell_get(bus)->frame;
        f->bus = bus;
        f->pa = pa;
        f->nr_keep = 0;
        f->going = false;
        list_init(&f->entries);
        rev_list_add(bucket(map_of(bus), REV_FRAMES, pa >> PVI_PAGE_LG2, bus->number), &f->hash);
    }
    return f;
}

static struct rev_server *server_get(struct pvi_bus *bus, uint16_t owner, uint16_t id)
{
    struct rev_server *s = server_find(bus, owner, id);

    if (!s) {
        s = &cell_get(bus)->server;
        s->bus = bus;
        s->owner = owner;
        s->id = id;
        list_init(&s->entries);
        rev_list_add(bucket(map_of(bus), REV_SERVERS, (uint32_t)owner << 16 | id, bus->number), &s->hash);
        rev_list_add(bucket(map_of(bus), REV_OWNERS, owner, 0), &s->of_owner);
        rev_list_add(&bus->servers, &s->of_bus);
    }
    return s;
}

/* The entry is not its frame's any more. */
static void leave_frame(struct pvi_rev_entry *e)
{
    struct rev_frame *f = e->frame;

    if (!f) {
        return;
    }
    e->frame = NULL;
    rev_list_del(&e->of_frame);
    f->nr_keep -= !e->swap;
    if (rev_list_empty(&f->entries)) {
        rev_list_del(&f->hash);
        cell_put(f->bus, f);
    }
}

/* Out of all lists. */
static void entry_detach(struct pvi_rev_entry *e)
{
    struct rev_server *s = e->server;

    leave_frame(e);
    rev_list_del(&e->hash);
    rev_list_del(&e->of_server);
    if (rev_list_empty(&s->entries)) {
        rev_list_del(&s->hash);
        rev_list_del(&s->of_owner);
        rev_list_del(&s->of_bus);
        cell_put(s->bus, s);
    }
    e->bus->nr_entries--;
}

static void entry_tell(const struct pvi_rev_entry *e, struct pvi_rev_tuple *t)
{
    t->bus = e->bus;
    t->dfn.f = e->dfn;
    t->pa.a = e->pa;
    t->owner = e->server->owner;
    t->ioserver = e->server->id;
    t->prot = e->prot;
    t->owe = e->owe;
    t->swap = e->swap;
}

/* Takes an entry out: its maker frees it if it is still at it. */
static void entry_take(struct pvi_rev_entry *e, struct pvi_rev_tuple *t, bool *pending)
{
    struct pvi_bus *bus = e->bus;

    entry_tell(e, t);
    entry_detach(e);
    *pending = e->state == REV_PENDING;
    if (*pending) {
        e->state = REV_DEAD;
    } else {
        cell_put(bus, e);
    }
    t->last = !entry_find(bus, t->dfn.f, NULL);
}

/* --- life ------------------------------------------------------------------------------------------- */

int pvi_revmap_init(struct pvi_revmap *map, struct pvi_host *h, unsigned lg2, uint64_t seed)
{
    size_t i, nr = (size_t)REV_KINDS << lg2;

    memset(map, 0, sizeof(*map));
    if (lg2 == 0 || lg2 > PVI_REVMAP_LG2_MAX) {
        return -PVI_ELIMIT;
    }
    map->host = h;
    map->lg2 = (uint8_t)lg2;
    map->factor = seed | 1;
    map->bucket = pvi_host_mem_alloc(h, nr * sizeof(*map->bucket));
    if (!map->bucket) {
        return -PVI_ENOMEM;
    }
    for (i = 0; i < nr; i++) {
        list_init(&map->bucket[i]);
    }
    list_init(&map->buses);
    pvi_env_lock_init(h, &map->lock, PVI_LOCK_REVMAP);
    return 0;
}

void pvi_revmap_fini(struct pvi_revmap *map)
{
    PVI_ASSERT(rev_list_empty(&map->buses));
    pvi_host_mem_free(map->host, map->bucket, ((size_t)REV_KINDS << map->lg2) * sizeof(*map->bucket));
    map->bucket = NULL;
}

void pvi_rev_join(struct pvi_bus *bus)
{
    struct pvi_revmap *map = map_of(bus);

    list_init(&bus->servers);
    pvi_env_acquire(map->host, &map->lock);
    bus->number = ++map->numbers;
    rev_list_add(&map->buses, &bus->link);
    pvi_env_release(map->host, &map->lock);
}

bool pvi_rev_used(struct pvi_bus *bus)
{
    struct pvi_revmap *map = map_of(bus);
    bool used;

    pvi_env_acquire(map->host, &map->lock);
    used = bus->users != 0;
    pvi_env_release(map->host, &map->lock);
    return used;
}

void pvi_rev_leave(struct pvi_bus *bus)
{
    struct pvi_revmap *map = map_of(bus);
    struct rev_chunk *chunk;

    pvi_env_acquire(map->host, &map->lock);
    rev_list_del(&bus->link);
    pvi_env_release(map->host, &map->lock);
    for (chunk = bus->chunks; chunk; chunk = bus->chunks) {
        bus->chunks = chunk->next;
        pvi_host_mem_free(map->host, chunk, sizeof(*chunk));
    }
}

void pvi_rev_unuse(struct pvi_bus *bus)
{
    struct pvi_revmap *map = map_of(bus);

    pvi_env_acquire(map->host, &map->lock);
    bus->users--;
    pvi_env_release(map->host, &map->lock);
}

/* What is at dfn already: 0 nothing; 1 the same mapping, and with *same the same io-server. */
static int look_there(const struct pvi_rev_tuple *t, struct pvi_rev_entry **same)
{
    struct pvi_rev_entry *e = entry_find(t->bus, t->dfn.f, NULL);

    *same = NULL;
    if (!e) {
        return 0;
    }
    if ((e->state != REV_LIVE && e->state != REV_PENDING) || e->pa != t->pa.a || e->prot != t->prot || e->owe != t->owe ||
        e->server->owner != t->owner) {
        return -PVI_EEXIST;
    }
    if (e->frame->going) {
        return -PVI_ENOFRAME;
    }
    if (e->state == REV_PENDING) {
        return -PVI_EPREEMPTED; /* another CPU is at it, and is not preempted there: it comes to an end */
    }
    for (; e && e->server->id != t->ioserver; e = entry_find(t->bus, t->dfn.f, e)) {
    }
    *same = e;
    return 1;
}

static struct pvi_rev_entry *entry_new(const struct pvi_rev_tuple *t, enum rev_state state)
{
    struct pvi_rev_entry *e = &cell_get(t->bus)->entry;

    e->bus = t->bus;
    e->frame = frame_get(t->bus, t->pa.a);
    e->server = server_get(t->bus, t->owner, t->ioserver);
    e->dfn = t->dfn.f;
    e->pa = t->pa.a;
    e->prot = t->prot;
    e->owe = t->owe;
    e->state = (uint8_t)state;
    e->swap = t->swap && t->bus->tables; /* there is nothing to move where no table is */
    e->told = false;
    e->frame->nr_keep += !e->swap;
    rev_list_add(state == REV_LIVE ? e->frame->entries.next : &e->frame->entries, &e->of_frame);
    rev_list_add(&e->server->entries, &e->of_server);
    rev_list_add(bucket(map_of(t->bus), REV_ENTRIES, e->dfn, t->bus->number), &e->hash);
    t->bus->nr_entries++;
    return e;
}

int pvi_rev_add(const struct pvi_rev_tuple *t, struct pvi_rev_entry **entry)
{
    struct pvi_revmap *map = map_of(t->bus);
    struct pvi_rev_entry *same;
    struct rev_frame *f;
    int rc = lock_with_room(t->bus);

    if (rc != 0) {
        return rc;
    }
    f = frame_find(t->bus, t->pa.a);
    rc = f && f->going ? -PVI_ENOFRAME : look_there(t, &same);
    if (t->look && rc == 0) { /* another CPU has unmapped what pvi_rev_find() found, or could not make it */
        rc = -PVI_ENOENT;
    }
    if (rc == 1 && same) {
        if (same->swap && !t->swap && !t->look) { /* who asks twice gets the more careful of the two */
            same->swap = false;
            same->frame->nr_keep++;
        }
    } else if (rc >= 0 && t->bus->nr_entries >= t->bus->domain->cfg.bus_entries) {
        rc = -PVI_EQUOTA;
    } else if (rc >= 0) {
        *entry = entry_new(t, rc == 1 ? REV_LIVE : REV_PENDING);
    }
    pvi_env_release(map->host, &map->lock);
    return rc;
}

int pvi_rev_settle(struct pvi_bus *bus, struct pvi_rev_entry *entry)
{
    struct pvi_revmap *map = map_of(bus);
    int rc = 0;

    pvi_env_acquire(map->host, &map->lock);
    if (entry->state == REV_DEAD) {
        cell_put(bus, entry);
        rc = -PVI_ENOFRAME;
    } else {
        entry->state = REV_LIVE;
        rev_list_del(&entry->of_frame); /* those that can be found come first */
        rev_list_add(entry->frame->entries.next, &entry->of_frame);
    }
    pvi_env_release(map->host, &map->lock);
    return rc;
}

void pvi_rev_cancel(struct pvi_bus *bus, struct pvi_rev_entry *entry)
{
    struct pvi_revmap *map = map_of(bus);

    pvi_env_acquire(map->host, &map->lock);
    if (entry->state != REV_DEAD) {
        entry_detach(entry);
    }
    cell_put(bus, entry);
    pvi_env_release(map->host, &map->lock);
}

int pvi_rev_remove(struct pvi_rev_tuple *t)
{
    struct pvi_revmap *map = map_of(t->bus);
    struct pvi_rev_entry *e;
    bool pending;

    pvi_env_acquire(map->host, &map->lock);
    e = entry_find(t->bus, t->dfn.f, NULL);
    while (e && (e->server->id != t->ioserver || e->state == REV_PENDING)) {
        e = entry_find(t->bus, t->dfn.f, e);
    }
    if (e) {
        entry_take(e, t, &pending);
    }
    pvi_env_release(map->host, &map->lock);
    return e ? 0 : -PVI_ENOENT;
}

int pvi_rev_find(struct pvi_rev_tuple *t)
{
    struct pvi_revmap *map = map_of(t->bus);
    const struct rev_frame *f;
    int rc = -PVI_ENOENT;

    pvi_env_acquire(map->host, &map->lock);
    f = frame_find(t->bus, t->pa.a);
    if (f && !f->going) {
        const struct pvi_rev_entry *e = REV_OF(struct pvi_rev_entry, of_frame, f->entries.next);

        if (e->server->owner == t->owner) { /* one that is not made yet, too: pvi_rev_add() says so */
            rc = 0;
            t->dfn.f = e->dfn;
            t->prot = e->prot;
            t->owe = e->owe;
            t->look = true;
        }
    }
    pvi_env_release(map->host, &map->lock);
    return rc;
}

/* --- all of a frame --------------------------------------------------------------------------------- */

bool pvi_rev_going(struct pvi_revmap *map, pvi_pa pa)
{
    struct pvi_rev_link *at;
    uint32_t keep = 0;

    pvi_env_acquire(map->host, &map->lock);
    for (at = map->buses.next; at != &map->buses; at = at->next) {
        struct rev_frame *f = frame_find(REV_OF(struct pvi_bus, link, at), pa.a);

        if (f) {
            f->going = true;
            keep += f->nr_keep;
        }
    }
    pvi_env_release(map->host, &map->lock);
    return keep == 0;
}

/* The first entry of the frame, in any domain, that has not been told; those that have are at their list's end. */
static struct pvi_rev_entry *first_of_frame(struct pvi_revmap *map, uint64_t pa)
{
    struct pvi_rev_link *at;

    for (at = map->buses.next; at != &map->buses; at = at->next) {
        struct rev_frame *f = frame_find(REV_OF(struct pvi_bus, link, at), pa);
        struct pvi_rev_entry *e = f ? REV_OF(struct pvi_rev_entry, of_frame, f->entries.next) : NULL;

        if (e && f->going && !e->told) {
            return e;
        }
    }
    return NULL;
}

bool pvi_rev_next_of_frame(struct pvi_revmap *map, pvi_pa pa, bool swap, struct pvi_rev_tuple *t, bool *pending)
{
    struct pvi_rev_entry *e;

    pvi_env_acquire(map->host, &map->lock);
    e = first_of_frame(map, pa.a);
    *pending = false;
    if (e) {
        e->bus->users++;
        if (e->state == REV_PENDING) {
            entry_take(e, t, pending);
        } else {
            entry_tell(e, t);
            if (swap) {
                leave_frame(e);
                e->state = REV_SWAPPED;
            } else {
                e->told = true;
                rev_list_del(&e->of_frame);
                rev_list_add(&e->frame->entries, &e->of_frame);
            }
        }
    }
    pvi_env_release(map->host, &map->lock);
    return e != NULL;
}

bool pvi_rev_held(struct pvi_revmap *map, pvi_pa pa)
{
    struct pvi_rev_link *at;
    bool held = false;

    pvi_env_acquire(map->host, &map->lock);
    for (at = map->buses.next; at != &map->buses && !held; at = at->next) {
        held = frame_find(REV_OF(struct pvi_bus, link, at), pa.a) != NULL;
    }
    pvi_env_release(map->host, &map->lock);
    return held;
}

/* --- all of an owner, an io-server, a domain --------------------------------------------------------- */

static struct rev_server *server_of_owner(struct pvi_revmap *map, uint16_t owner)
{
    struct pvi_rev_link *head = bucket(map, REV_OWNERS, owner, 0), *at;

    for (at = head->next; at != head; at = at->next) {
        struct rev_server *s = REV_OF(struct rev_server, of_owner, at);

        if (s->owner == owner) {
            return s;
        }
    }
    return NULL;
}

bool pvi_rev_take(struct pvi_revmap *map, struct pvi_bus *bus, uint16_t owner, uint16_t ioserver, struct pvi_rev_tuple *t, bool *pending)
{
    struct rev_server *s;

    pvi_env_acquire(map->host, &map->lock);
    s = bus ? server_find(bus, owner, ioserver) : server_of_owner(map, owner);
    if (s) {
        s->bus->users++;
        entry_take(REV_OF(struct pvi_rev_entry, of_server, s->entries.next), t, pending);
    }
    pvi_env_release(map->host, &map->lock);
    return s != NULL;
}

bool pvi_rev_take_any(struct pvi_bus *bus, struct pvi_rev_tuple *t)
{
    struct pvi_revmap *map = map_of(bus);
    struct rev_server *s;
    bool pending;

    pvi_env_acquire(map->host, &map->lock);
    s = rev_list_empty(&bus->servers) ? NULL : REV_OF(struct rev_server, of_bus, bus->servers.next);
    if (s) {
        entry_take(REV_OF(struct pvi_rev_entry, of_server, s->entries.next), t, &pending);
        PVI_ASSERT(!pending);
    }
    pvi_env_release(map->host, &map->lock);
    return s != NULL;
}
