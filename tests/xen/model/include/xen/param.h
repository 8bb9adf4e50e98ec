/* SPDX-License-Identifier: MIT */
/* Options of Xen's command line: the model sets them (xm_dom.c). */
#ifndef STANDIN_XEN_PARAM_H
#define STANDIN_XEN_PARAM_H

void xm_param(int (*parse)(const char *text));

#define custom_param(text, function)                                            \
    static void __attribute__((__constructor__)) param_##function(void)         \
    {                                                                           \
        xm_param(function);                                                     \
    }                                                                           \
    struct param_##function

#endif
