/* SPDX-License-Identifier: MIT */
/* An ELF note of Xen's, for the assembler. */

    .macro note type, body:vararg
    .balign 4
    .long 2f - 1f, 4f - 3f, \type
1:  .asciz "Xen"
2:  .balign 4
3:  \body
4:  .balign 4
    .endm
