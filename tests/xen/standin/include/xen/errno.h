/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_ERRNO_H
#define STANDIN_XEN_ERRNO_H

enum {
    ENOMEM = 12,
    EXDEV = 18,
    ENODEV = 19,
    EINVAL = 22,
    ENOSPC = 28,
    ENOSYS = 38,
    ERESTART = 85,
    EOPNOTSUPP = 95
};

#endif
