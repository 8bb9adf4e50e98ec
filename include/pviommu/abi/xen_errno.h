/* SPDX-License-Identifier: MIT */
/**
 * @file
 * Error numbers as Xen's guests see them (Xen's public errno.h), and the common part of how the library's errors become them.
 */
#ifndef PVIOMMU_ABI_XEN_ERRNO_H
#define PVIOMMU_ABI_XEN_ERRNO_H

/** Negated in results. */
enum pvi_xen_errno {
    PVI_XEN_EPERM = 1,
    PVI_XEN_ENOENT = 2,
    PVI_XEN_ESRCH = 3,
    PVI_XEN_EIO = 5,
    PVI_XEN_ENXIO = 6,
    PVI_XEN_E2BIG = 7,
    PVI_XEN_ENOMEM = 12,
    PVI_XEN_EACCES = 13,
    PVI_XEN_EFAULT = 14,
    PVI_XEN_EBUSY = 16,
    PVI_XEN_EEXIST = 17,
    PVI_XEN_ENODEV = 19,
    PVI_XEN_EINVAL = 22,
    PVI_XEN_ENOSPC = 28,
    PVI_XEN_ERANGE = 34,
    PVI_XEN_ENOSYS = 38,
    PVI_XEN_ERESTART = 85,
    PVI_XEN_EOPNOTSUPP = 95,
    PVI_XEN_EADDRINUSE = 98,
    PVI_XEN_EADDRNOTAVAIL = 99,
    PVI_XEN_ECANCELED = 125
};

/**
 * The number for an error of the library where an interface does not say otherwise.
 * @param err 0 or a negated enum pvi_err. @return 0 or a negated enum pvi_xen_errno; EPREEMPTED gives -PVI_XEN_ERESTART.
 */
int pvi_xen_error(int err);

#endif
