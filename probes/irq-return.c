/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route `irq-return`: the return of irq_exit_rcu(), the last that an interrupt does before its exit reads the
 * word, and the one vector that does not pass it.
 */

static __always_inline void see_interrupt(struct settings *setting)
{
	struct exit exit = { .context = CONTEXT_INTERRUPT };

	see(setting, &exit);
}

/*
 * An interrupt from kernel mode runs on the CPU's own interrupt stack, one from user mode on the task's, which
 * was empty (call_on_irqstack_cond() in arch/x86/include/asm/irq_stack.h). So the stack tells where it goes.
 */
static __always_inline void irq_exited(struct at *at)
{
	struct settings *setting = current_settings();
	u64 below;

	if (!setting)
		return;
	below = (u64)user_regs(setting) - at->stack;
	if (below < setting->user_regs)
		see_interrupt(setting);
}

/*
 * sysvec_reschedule_ipi() switches no stacks (DEFINE_IDTENTRY_SYSVEC_SIMPLE), wherever it came from. From user
 * mode there is nothing on the task's stack but itself: less than the registers of a second interruption take,
 * such as one of the exit of another interrupt, whose stub it would find there.
 */
static __always_inline void rescheduled(struct at *at)
{
	struct settings *setting = current_settings();
	u64 below;

	if (!setting)
		return;
	below = (u64)user_regs(setting) - at->stack;
	if (below < NESTED_INTERRUPT && context_of(setting) == CONTEXT_INTERRUPT)
		see_interrupt(setting);
}
