/* SPDX-License-Identifier: MIT */
/* Options of Xen's command line: the model sets them (xm_dom.c). */
#ifndef STANDIN_XEN_PARAM_H
#define STANDIN_XEN_PARAM_H

void xm_param(const char *name, unsigned int *variable);

#define integer_param(text, variable)                                           \
    static void __attribute__((__constructor__)) param_##variable(void)         \
    {                                                                           \
        xm_param(text, &variable);                                              \
    }                                                                           \
    struct param_##variable

#endif
