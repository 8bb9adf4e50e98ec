/* SPDX-License-Identifier: MIT */
/*
 * Passthrough modes: names, choice, what is asked for and in force, why a table is not shared. Seed 003 says: disabled is the default
 * without hardware, sync_pt that of PV and share_pt that of HVM; share_pt is unavailable for PV; where hardware does not
 * allow it sync_pt is used instead.
 */
#include <string.h>

#include "fixture.h"

#define HOST_TABLE 0x700000000ull

static struct fx fx;

static struct pvi_domain_cfg config(uint8_t mode, bool pv, bool assigned)
{
    struct pvi_domain_cfg dc = fx_domain_cfg(&fx);

    dc.passthrough = (struct pvi_passthrough_cfg){.mode = mode, .pv = pv, .assigned = assigned};
    return dc;
}

static void names(void **state)
{
    static const struct {
        const char *text;
        int mode;
    } name[] = {
        {"disabled", PVI_PASSTHROUGH_DISABLED}, {"sync_pt", PVI_PASSTHROUGH_SYNC_PT},   {"sync-pt", PVI_PASSTHROUGH_SYNC_PT},
        {"share_pt", PVI_PASSTHROUGH_SHARE_PT}, {"share-pt", PVI_PASSTHROUGH_SHARE_PT}, {"", 0},
        {"enabled", 0},                         {"unknown", 0},                         {"sync", 0},
        {"sync_p", 0},                          {"sync_pt ", 0},                        {"sync_ptx", 0},
        {"SYNC_PT", 0},                         {"sync__pt", 0},                        {"share", 0},
        {"disable", 0},                         {"disabledd", 0},                       {"share_p-", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
        enum pvi_passthrough mode = PVI_PASSTHROUGH_DEFAULT;

        check_case("%s", name[i].text);
        CHECK_EQ(pvi_passthrough_parse(name[i].text, strlen(name[i].text), &mode), name[i].mode != 0 ? 0 : -PVI_EINVAL);
        CHECK_EQ((int)mode, name[i].mode != 0 ? name[i].mode : PVI_PASSTHROUGH_DEFAULT);
    }
    {
        enum pvi_passthrough mode = PVI_PASSTHROUGH_DEFAULT;

        CHECK_EQ(pvi_passthrough_parse("sync_pt,other", 7, &mode), 0); /* need not end in 0 */
        CHECK_EQ((int)mode, PVI_PASSTHROUGH_SYNC_PT);
    }
}

/* Every combination. */
static void choices(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 7 * 16; i++) {
        bool pv = (i & 1) != 0, assigned = (i & 2) != 0, iommu = (i & 4) != 0, share = (i & 8) != 0;
        struct pvi_passthrough_cfg cfg = {.mode = (uint8_t)(i / 16), .pv = pv, .assigned = assigned};
        enum pvi_passthrough mode = PVI_PASSTHROUGH_DEFAULT;
        int want, rc = 0;

        check_case("mode %u, pv %d, assigned %d, units %d, share %d", i / 16, pv, assigned, iommu, share);
        switch (i / 16) {
        case PVI_PASSTHROUGH_NONE: want = PVI_PASSTHROUGH_NONE; break;
        case PVI_PASSTHROUGH_DISABLED: want = PVI_PASSTHROUGH_DISABLED; break;
        case PVI_PASSTHROUGH_SYNC_PT: want = PVI_PASSTHROUGH_SYNC_PT; break;
        case PVI_PASSTHROUGH_SHARE_PT: want = share ? PVI_PASSTHROUGH_SHARE_PT : PVI_PASSTHROUGH_SYNC_PT; break;
        case PVI_PASSTHROUGH_DEFAULT:
            want = !assigned        ? PVI_PASSTHROUGH_DISABLED
                   : pv || !share ? PVI_PASSTHROUGH_SYNC_PT
                                    : PVI_PASSTHROUGH_SHARE_PT;
            break;
        default: want = -1; rc = -PVI_EINVAL; break;
        }
        if (rc == 0 && ((i / 16 == PVI_PASSTHROUGH_SHARE_PT && pv) || (want >= PVI_PASSTHROUGH_SYNC_PT && !iommu))) {
            rc = -PVI_EOPNOTSUPP;
        }
        CHECK_EQ(pvi_passthrough_choose(&cfg, iommu, share, &mode), rc);
        CHECK_EQ((int)mode, rc == 0 ? want : PVI_PASSTHROUGH_DEFAULT);
    }
}

/* A domain of that configuration; what is in force, or the error of making it. */
static int made(const struct pvi_domain_cfg *dc, struct pvi_passthrough_info *info)
{
    int rc = pvi_domain_init(&fx.dom, fx.host, dc);

    if (rc == 0) {
        pvi_passthrough_query(&fx.dom, info);
        CHECK_EQ(info->asked, dc->passthrough.mode);
        pvi_domain_kill(&fx.dom);
        CHECK_EQ(pvi_domain_destroy(&fx.dom), 0);
    }
    CHECK_EQ(fx.dom.default_pool.nr_pages, 0);
    return rc;
}

static void machine(enum fx_kind kind, bool incoherent, unsigned units)
{
    fx_machine(&fx, &(struct fx_cfg){.kind = kind, .incoherent = incoherent, .units = units, .devices = 1});
}

static struct pvi_domain_cfg sharing(void)
{
    struct pvi_domain_cfg dc = config(PVI_PASSTHROUGH_SHARE_PT, false, true);

    dc.passthrough.share = (struct pvi_share){.format = &pvi_vtd_ss_ops, .root.a = HOST_TABLE, .levels = 4,
                                              .page_sizes = 1ull << 12 | 1ull << 21 | 1ull << 30};
    return dc;
}

/* Each thing that stands in the way of sharing alone, and then sync_pt in force and the reason told. */
static void obstacles(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 12; k++) {
        uint8_t want = PVI_SHARE_POSSIBLE, in_force;
        struct pvi_passthrough_info info;
        struct pvi_domain_cfg dc;

        check_case("obstacle %u", k);
        machine(k == 1 ? FX_AMD : FX_VTD, k == 6 || k == 7, k == 8 ? 2 : 1);
        dc = sharing();
        switch (k) {
        case 1: /* AMD-Vi, always: also where the host says that its table has the format */
            dc.passthrough.share.format = &pvi_amdvi_v1_ops;
            want = PVI_SHARE_UNIT;
            break;
        case 2: dc.passthrough.share.format = &pvi_vtd_fs_ops; want = PVI_SHARE_FORMAT; break;
        case 3: dc.passthrough.share.levels = 5; want = PVI_SHARE_LEVELS; break;
        case 4: dc.passthrough.share.levels = 200; want = PVI_SHARE_LEVELS; break;
        case 5: fx.sys.unit[0]->caps.page_sizes &= ~(1ull << 30); want = PVI_SHARE_SIZES; break;
        case 6: want = PVI_SHARE_COHERENCY; break;
        case 7: dc.passthrough.share.written_back = true; break;
        case 8: fx.sys.unit[1]->caps.shares = false; want = PVI_SHARE_UNIT; break; /* one of several */
        case 9: dc.passthrough.share.format = NULL; want = PVI_SHARE_NO_TABLE; break;
        case 10: dc.passthrough.share.root.a++; want = PVI_SHARE_NO_TABLE; break;
        case 11: dc.passthrough.share.root.a = 1ull << 46; want = PVI_SHARE_NO_TABLE; break;
        default: break;
        }
        in_force = want == PVI_SHARE_POSSIBLE ? PVI_PASSTHROUGH_SHARE_PT : PVI_PASSTHROUGH_SYNC_PT;
        for (unsigned asked = 0; asked < 2; asked++) { /* by name, by default */
            dc.passthrough.mode = asked == 0 ? PVI_PASSTHROUGH_SHARE_PT : PVI_PASSTHROUGH_DEFAULT;
            CHECK_EQ(made(&dc, &info), 0);
            CHECK_EQ(info.in_force, in_force);
            CHECK_EQ(info.obstacle, want);
            CHECK_EQ(info.reserve, PVI_SYNC_RESERVE);
            CHECK_EQ(info.reserved, PVI_SYNC_RESERVE);
        }
        dc.passthrough.mode = PVI_PASSTHROUGH_SYNC_PT; /* what was asked for is no fallback */
        CHECK_EQ(made(&dc, &info), 0);
        CHECK_EQ(info.in_force, PVI_PASSTHROUGH_SYNC_PT);
        CHECK_EQ(info.obstacle, PVI_SHARE_POSSIBLE);
        fx_drop(&fx);
    }
}

static void refused(void **state)
{
    struct pvi_passthrough_info info;
    struct pvi_domain_cfg dc;

    (void)state;
    check_case("configurations that cannot be");
    machine(FX_VTD, false, 1);
    dc = sharing();
    dc.passthrough.pv = true;
    CHECK_EQ(made(&dc, &info), -PVI_EOPNOTSUPP); /* no share_pt for PV */
    dc.passthrough.mode = 6;
    CHECK_EQ(made(&dc, &info), -PVI_EINVAL);
    for (uint8_t mode = PVI_PASSTHROUGH_DISABLED; mode <= PVI_PASSTHROUGH_SHARE_PT; mode++) {
        dc = config(mode, false, true);
        dc.default_identity = true;
        CHECK_EQ(made(&dc, &info), -PVI_EINVAL);
        dc = config(mode, false, true);
        dc.page_sizes = 1ull << 21;
        CHECK_EQ(made(&dc, &info), mode == PVI_PASSTHROUGH_DISABLED ? 0 : -PVI_EOPNOTSUPP);
        dc = config(mode, false, true);
        dc.system = NULL;
        CHECK_EQ(made(&dc, &info), mode == PVI_PASSTHROUGH_DISABLED ? 0 : -PVI_EOPNOTSUPP);
    }
    dc = config(PVI_PASSTHROUGH_SYNC_PT, true, true);
    dc.passthrough.reserve = 7;
    CHECK_EQ(made(&dc, &info), 0);
    CHECK_EQ(info.reserve, 7);
    for (uint64_t n = 1; n <= dc.default_pages + 7; n++) { /* pages set aside, or nothing */
        pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, n, true);
        CHECK_EQ(made(&dc, &info), -PVI_ENOMEM);
    }
    pvi_posix_fail(fx.host, PVI_AT_PAGE_ALLOC, 0, false);
    fx_drop(&fx);
}

/* "IOMMU mappings are disabled for the domain and so hardware may not be passed through." */
static void disabled(struct fx *f, const struct fx_cfg *cfg)
{
    struct pvi_passthrough_info info;
    struct pvi_context_usage usage;
    struct pvi_domain_cfg dc;
    struct pvi_sync s;

    fx_machine(f, cfg);
    f->cfg.devices = 0;
    dc = fx_domain_cfg(f);
    dc.passthrough.mode = PVI_PASSTHROUGH_DEFAULT;
    CHECK_EQ(pvi_domain_init(&f->dom, f->host, &dc), 0);
    CHECK_EQ(pvi_domain_start(&f->dom), 0);
    pvi_passthrough_query(&f->dom, &info);
    CHECK(info.asked == PVI_PASSTHROUGH_DEFAULT && info.in_force == PVI_PASSTHROUGH_DISABLED && info.reserve == 0);
    CHECK_EQ(pvi_device_add(&f->dom, fx_device(f, 0, 0)), -PVI_EOPNOTSUPP);
    CHECK_EQ(pvi_context_usage(&f->dom, 0, &usage), -PVI_ENOCTX);
    pvi_sync_init(&s, &f->dom);
    CHECK_EQ(pvi_sync_add(&s, (pvi_dfn){1}, (pvi_pa){0x1000}, 1, PVI_RW), 0);
    CHECK_EQ(pvi_sync_protect(&s, (pvi_dfn){1}, 1, PVI_READ), 0);
    CHECK_EQ(pvi_sync_remove(&s, (pvi_dfn){1}, 1), 0);
    CHECK_EQ(pvi_share_flush(&s, (pvi_dfn){1}, 1, true), -PVI_EDEFAULT);
    CHECK_EQ(pvi_share_stop(&f->dom), -PVI_EDEFAULT);
    fx_begin(f);
    fx_op(f, PVI_OP_QUERY_CAPS, 0);
    CHECK_EQ(fx_submit(f), 0);
    CHECK(f->op[0].status == 0 && f->op[0].u.caps.nr_contexts == 0);
    f->nr_devs = 0;
    fx_end(f, false);
}

static void disabled_everywhere(void **state)
{
    (void)state;
    fx_each(disabled);
}

/* A domain without a mode is as it always was: hooks have no table to follow in. */
static void no_mode(void **state)
{
    struct pvi_passthrough_info info;
    struct pvi_sync s;

    (void)state;
    check_case("no mode");
    fx_up(&fx, &(struct fx_cfg){.kind = FX_VTD, .default_identity = true});
    pvi_passthrough_query(&fx.dom, &info);
    CHECK(info.asked == 0 && info.in_force == PVI_PASSTHROUGH_NONE && info.reserve == 0 && info.reserved == 0);
    CHECK_EQ(fx.dom.default_pool.reserve, 0);
    pvi_sync_init(&s, &fx.dom);
    CHECK_EQ(pvi_sync_add(&s, (pvi_dfn){0x9000}, (pvi_pa){0x1000}, 1, PVI_RW), -PVI_EDEFAULT);
    CHECK_EQ(pvi_sync_remove(&s, (pvi_dfn){0x200}, 1), -PVI_EDEFAULT);
    CHECK_EQ(pvi_sync_protect(&s, (pvi_dfn){0x200}, 1, PVI_READ), -PVI_EDEFAULT);
    fx_check(&fx);
    fx_down(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),   cmocka_unit_test(choices),
        cmocka_unit_test(obstacles), cmocka_unit_test(refused),
        cmocka_unit_test(disabled_everywhere), cmocka_unit_test(no_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
