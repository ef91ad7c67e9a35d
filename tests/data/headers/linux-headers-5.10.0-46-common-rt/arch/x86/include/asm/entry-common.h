/* SPDX-License-Identifier: GPL-2.0 */
/* Excerpt of arch/x86/include/asm/entry-common.h, Debian linux-headers-5.10.0-46-common-rt 5.10.262-1: lines 46-46. */
#define ARCH_SYSCALL_EXIT_WORK		(_TIF_SINGLESTEP)
