/* SPDX-License-Identifier: GPL-2.0 */
/* Excerpt of include/linux/thread_info.h, Debian linux-headers-5.10.0-46-common-rt 5.10.262-1: lines 39-39. */
#include <asm/thread_info.h>
