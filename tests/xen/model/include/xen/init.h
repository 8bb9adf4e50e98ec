/* SPDX-License-Identifier: MIT */
#ifndef STANDIN_XEN_INIT_H
#define STANDIN_XEN_INIT_H

#define __initcall(function)                                                    \
    static void __attribute__((__constructor__)) initcall_##function(void)      \
    {                                                                           \
        (void)function();                                                       \
    }                                                                           \
    struct initcall_##function

#endif
