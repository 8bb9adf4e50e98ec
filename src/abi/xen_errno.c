/* SPDX-License-Identifier: MIT */
/* The library's errors as Xen's guests know them. Interfaces with other customs look before they ask here. */
#include <pviommu/abi/xen_errno.h>
#include <pviommu/types.h>

int pvi_xen_error(int err)
{
    static const uint8_t number[] = {
        [PVI_EINVAL] = PVI_XEN_EINVAL,       [PVI_EFLAGS] = PVI_XEN_EINVAL,
        [PVI_ELENGTH] = PVI_XEN_EINVAL,      [PVI_EALIGN] = PVI_XEN_EINVAL,
        [PVI_EWRAP] = PVI_XEN_EINVAL,        [PVI_ERANGE] = PVI_XEN_ERANGE,
        [PVI_ERESERVED] = PVI_XEN_EACCES,    [PVI_EEXIST] = PVI_XEN_EEXIST,
        [PVI_ENOENT] = PVI_XEN_ENOENT,       [PVI_ENOFRAME] = PVI_XEN_ENOENT,
        [PVI_EPERM] = PVI_XEN_EPERM,         [PVI_ENODEV] = PVI_XEN_ENODEV,
        [PVI_ENOCTX] = PVI_XEN_ENOENT,       [PVI_EDEFAULT] = PVI_XEN_EINVAL,
        [PVI_ENOSPC] = PVI_XEN_ENOSPC,       [PVI_ENOMEM] = PVI_XEN_ENOMEM,
        [PVI_EQUOTA] = PVI_XEN_ENOMEM,       [PVI_EBUSY] = PVI_XEN_EBUSY,
        [PVI_EINITED] = PVI_XEN_EACCES,      [PVI_ENOTINIT] = PVI_XEN_ENODEV,
        [PVI_ELIMIT] = PVI_XEN_E2BIG,        [PVI_ENOIOMMU] = PVI_XEN_ENODEV,
        [PVI_EPREEMPTED] = PVI_XEN_ERESTART, [PVI_EDYING] = PVI_XEN_ESRCH,
        [PVI_EHW] = PVI_XEN_EIO,             [PVI_EOPNOTSUPP] = PVI_XEN_EOPNOTSUPP,
        [PVI_ECANCELED] = PVI_XEN_ECANCELED, [PVI_ENODOM] = PVI_XEN_ESRCH,
        [PVI_EPART] = PVI_XEN_EINVAL,        [PVI_EFAULT] = PVI_XEN_EFAULT,
        [PVI_ENESTED] = PVI_XEN_EINVAL,
    };
    unsigned code = (unsigned)-err;

    if (err == 0) {
        return 0;
    }
    return err < 0 && code < sizeof(number) && number[code] != 0 ? -(int)number[code] : -PVI_XEN_EINVAL;
}
