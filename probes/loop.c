/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Routes `loop` and `loop-breakpoint`: exit_to_user_mode_loop(regs, ti_work), which only slow exits enter, with
 * the word that sent them there; and the one-time work for syscall_work, which comes before it.
 */

static __always_inline void loop(struct at *at)
{
	struct exit exit = { .has_word = 1, .word = at->arg2 };

	see_any(at, &exit);
}

#ifdef LATENCY
static __always_inline void loop_begins(struct at *at)
{
	exit_begins(at->arg2);
}

static __always_inline void loop_ends(struct at *at)
{
	struct exit exit = {};

	if (exit_ends(&exit))
		see_any(at, &exit);
}
#endif

/*
 * After the syscall work, and before the word is read for the loop: an exit that is going to enter the loop is
 * counted there, with both words.
 */
static __always_inline void syscall_work_done(struct at *at, u64 later)
{
	struct settings *setting = current_settings();
	struct exit exit = { .context = CONTEXT_SYSCALL };
	struct words words = {};

	if (!setting || read_words(&words))
		return;
	if (words.word & TIF_WORK || words.syscall_work & later)
		return;
	see(setting, &exit);
}

static __always_inline void syscall_exit_worked(struct at *at)
{
	syscall_work_done(at, 0);
}

/*
 * Where syscall_exit_work() is inlined, what it calls, in its order: audit, the tracepoint, ptrace. The last
 * one of those that this exit has to pass counts it.
 */
static __always_inline void exit_audited(struct at *at)
{
	syscall_work_done(at, SYSCALL_WORK_TRACEPOINT | SYSCALL_WORK_TRACE);
}

static __always_inline void exit_traced(struct at *at)
{
	syscall_work_done(at, SYSCALL_WORK_TRACE);
}

/* ptrace_notify(exit_code, message) is called at a system call's entry as well. */
static __always_inline void ptrace_notified(struct at *at)
{
	if (at->arg2 == PTRACE_EVENTMSG_SYSCALL_EXIT)
		syscall_work_done(at, 0);
}
