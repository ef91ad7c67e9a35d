/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counts of all exits of a context, for the routes that see slow ones only. What is entered is counted in place
 * of what returns.
 */

static __always_inline void entered(struct at *at, u32 context)
{
	struct settings *setting = current_settings();
	struct exit exit = { .context = context, .all = 1 };

	if (setting)
		see(setting, &exit);
}

static __always_inline void call_entered(struct at *at)
{
	entered(at, CONTEXT_SYSCALL);
}

static __always_inline void fault_entered(struct at *at)
{
	entered(at, CONTEXT_EXCEPTION);
}
