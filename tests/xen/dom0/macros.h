/* SPDX-License-Identifier: MIT */
/* For the assembler: an ELF note of Xen's; an event's frame (struct event_frame), above which the processor's or Xen's lies. */

    .macro note type, body:vararg
    .balign 4
    .long 2f - 1f, 4f - 3f, \type
1:  .asciz "Xen"
2:  .balign 4
3:  \body
4:  .balign 4
    .endm

    .macro event
    push $0                             /* flags of Xen's iret */
    push %rcx
    push %r11
    push %rax
    push %rdi
    push %rsi
    push %rdx
    push %r8
    push %r9
    push %r10
    cld
    mov %rsp, %rdi
    call event_arrived
    pop %r10
    pop %r9
    pop %r8
    pop %rdx
    pop %rsi
    pop %rdi
    .endm
