/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route `return`: the return of syscall_exit_to_user_mode_prepare(), after all syscall work, a few instructions
 * before interrupts go off and the exit reads the word.
 */

static __always_inline void prepared(struct at *at)
{
	struct settings *setting = current_settings();
	struct exit exit = { .context = CONTEXT_SYSCALL };

	if (setting)
		see(setting, &exit);
}
