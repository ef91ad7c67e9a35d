/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route `tracepoint`: raw sys_exit(regs, ret), reached from syscall_exit_work() with interrupts on, a few
 * instructions before the exit reads the word itself. A bit that an interrupt sets in between is missed.
 */

static __always_inline void syscall_traced(struct at *at)
{
	struct settings *setting = current_settings();
	struct exit exit = { .context = CONTEXT_SYSCALL };

	if (setting)
		see(setting, &exit);
}
