/* SPDX-License-Identifier: MIT */
/* Hypercall 43. */
#include "shim.h"

#include <xen/hypercall.h>
#include <xen/smp.h>
#include <xsm/xsm.h>

#include <pviommu/abi/xen43.h>

/* A call is over, or has become a continuation, before its CPU does anything else. */
struct shim_call {
    struct pvi_abi_call abi;
    struct shim_domain *target; /* the one domain that it names beside its caller, held; NULL: none yet */
};
/* Made when a CPU needs one, and for ever: in its per-CPU area it would be lost when that CPU goes away. */
static struct shim_call *__read_mostly shim_calls[NR_CPUS];

int pvi_host_domain(struct pvi_host *h, struct pvi_hdom *caller,
                    uint16_t domid, struct pvi_domain **out)
{
    struct shim_call *call = shim_calls[smp_processor_id()];
    struct domain *d;
    int rc;

    if ( !is_hardware_domain(shim_d(caller)) ||
         (!shim_options.guests && domid != shim_d(caller)->domain_id) )
        return -PVI_EPERM;

    d = rcu_lock_domain_by_id(domid);
    if ( !d )
        return -PVI_ENODOM;
    if ( xsm_add_to_physmap(XSM_TARGET, shim_d(caller), d) )
        rc = -PVI_EPERM;
    else
    {
        if ( !call->target && shim_domain_get(d, &rc) )
            call->target = shim_domain_hold(d);
        rc = call->target && call->target->d == d ? 0 : -PVI_ENODOM;
    }
    rcu_unlock_domain(d);
    if ( !rc )
        *out = &call->target->dom;

    return rc;
}

bool pvi_host_may_init(struct pvi_host *h, struct pvi_hdom *d)
{
    return is_hardware_domain(shim_d(d));
}

int shim_call_begin(struct pvi_abi_call **abi)
{
    struct domain *d = current->domain;
    struct shim_call *call = shim_calls[smp_processor_id()];
    struct shim_domain *sd;
    int rc;

    if ( !shim_options.enabled )
        return -ENOSYS;

    if ( !call )
    {
        call = xzalloc(struct shim_call);
        if ( !call )
            return -ENOMEM;
        shim_calls[smp_processor_id()] = call;
    }

    /* Contexts are another physmap, that of a device. */
    rc = xsm_add_to_physmap(XSM_TARGET, d, d);
    if ( rc )
        return rc;

    /* Others have an interface once the hardware domain has initialised it for them. */
    rc = -ENODEV;
    sd = is_hardware_domain(d) ? shim_domain_get(d, &rc) : shim_domain_find(d);
    if ( !sd )
        return rc;

    call->abi.caller = &sd->dom;
#ifdef CONFIG_COMPAT
    call->abi.compat = current->hcall_compat;
#endif
    *abi = &call->abi;

    return 0;
}

void shim_call_end(void)
{
    struct shim_call *call = shim_calls[smp_processor_id()];

    if ( call->target )
        shim_domain_drop(call->target);
    call->target = NULL;
}

long do_iommu_op(unsigned int subop, XEN_GUEST_HANDLE_PARAM(void) arg)
{
    struct pvi_abi_call *abi;
    uint32_t word = subop;
    int rc;

    rc = shim_call_begin(&abi);
    if ( rc )
        return rc;

    rc = pvi_xen43_call(abi, &word, (unsigned long)arg.p);
    shim_call_end();
    if ( rc != -ERESTART )
        return rc;

    return (long)hypercall_create_continuation(__HYPERVISOR_iommu_op, "ih",
                                               word, arg);
}
