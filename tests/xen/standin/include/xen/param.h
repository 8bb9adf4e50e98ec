/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_XEN_PARAM_H
#define STANDIN_XEN_PARAM_H

struct kernel_param {
    const char *name;
    int (*parse)(const char *text);
};
#define custom_param(text, function)                                                            \
    static const struct kernel_param __used __attribute__((__section__(".init.setup")))         \
        param_##function = { text, function }

#endif
