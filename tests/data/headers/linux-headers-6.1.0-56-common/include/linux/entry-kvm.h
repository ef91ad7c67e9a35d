/* SPDX-License-Identifier: GPL-2.0 */
/* Excerpt of include/linux/entry-kvm.h, Debian linux-headers-6.1.0-56-common 6.1.192-2: lines 13-21, 97-97. */
#ifdef CONFIG_KVM_XFER_TO_GUEST_WORK

#ifndef ARCH_XFER_TO_GUEST_MODE_WORK
# define ARCH_XFER_TO_GUEST_MODE_WORK	(0)
#endif

#define XFER_TO_GUEST_MODE_WORK						\
	(_TIF_NEED_RESCHED | _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL |	\
	 _TIF_NOTIFY_RESUME | ARCH_XFER_TO_GUEST_MODE_WORK)
#endif /* CONFIG_KVM_XFER_TO_GUEST_WORK */
