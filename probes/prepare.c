/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route `prepare`: exit_to_user_mode_prepare(), which every exit passes with interrupts off, right before it
 * reads the word.
 */

static __always_inline void prepare(struct at *at)
{
	struct exit exit = {};

	see_any(at, &exit);
}

#ifdef LATENCY
static __always_inline void prepare_begins(struct at *at)
{
	struct words words = {};

	if (read_words(&words) || !(words.word & TIF_WORK))
		prepare(at);
	else
		exit_begins(words.word);
}

static __always_inline void prepare_ends(struct at *at)
{
	struct exit exit = {};

	if (exit_ends(&exit))
		see_any(at, &exit);
}
#endif
