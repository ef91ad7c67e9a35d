/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route `tracepoint`: raw sys_exit(regs, ret), reached from syscall_exit_work() with interrupts on, a few
 * instructions before the exit reads the word itself. A bit that an interrupt sets in between is missed.
 */

static __always_inline s32 syscall_of(struct bpf_raw_tracepoint_args *ctx)
{
	u64 orig_ax = -1;

	bpf_probe_read_kernel(&orig_ax, sizeof(orig_ax), (char *)ctx->args[0] + PT_REGS_ORIG_AX);
	return orig_ax;
}

int record_syscall(struct bpf_raw_tracepoint_args *ctx)
{
#if defined(BY_SYSCALL) || defined(FILTER_SYSCALL)
	count_exit(CONTEXT_SYSCALL, syscall_of(ctx));
#else
	count_exit(CONTEXT_SYSCALL, -1);
#endif
	return 0;
}

int check_syscall(struct bpf_raw_tracepoint_args *ctx)
{
	check_exit(CONTEXT_SYSCALL, syscall_of(ctx));
	return 0;
}
