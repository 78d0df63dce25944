// SPDX-License-Identifier: Apache-2.0
#include "culvert/control/open_watch.h"

// Which of a refusal and an answer came last within one look is not known: the answer counts.
static bool is_refused(struct open_watch *watch, const struct open_rules *rules,
		       const struct opens *now)
{
	watch->n_refused += now->refused - watch->last.refused;
	if (now->answered != watch->last.answered)
		watch->n_refused = 0;
	if (watch->n_refused < rules->fall)
		return false;
	watch->n_refused = 0;
	return true;
}

// A flood of SYNs that a full queue drops is silence only if connections have nothing to say
// either.
static bool is_silent(struct open_watch *watch, const struct open_rules *rules,
		      const struct opens *now, uint64_t now_ns)
{
	bool is_heard = now->heard != watch->last.heard || now->refused != watch->last.refused;
	if (!rules->hears_answers || is_heard || now->asked == watch->n_asked) {
		watch->since_ns = now_ns;
		watch->n_asked = now->asked;
		return false;
	}
	if (now->asked - watch->n_asked < rules->fall ||
	    now_ns - watch->since_ns <= rules->silence_ns)
		return false;
	watch->since_ns = now_ns;
	watch->n_asked = now->asked;
	return true;
}

enum open_verdict open_watch_look(struct open_watch *watch, const struct open_rules *rules,
				  const struct opens *now, uint64_t now_ns)
{
	enum open_verdict verdict = OPENS_WELL;
	if (!watch->is_begun)
		*watch = (struct open_watch){.n_asked = now->asked,
					     .since_ns = now_ns,
					     .is_begun = true};
	else if (is_refused(watch, rules, now))
		verdict = OPENS_REFUSED;
	else if (is_silent(watch, rules, now, now_ns))
		verdict = OPENS_SILENT;
	watch->last = *now;
	return verdict;
}

// Whoever has been waiting since then goes on waiting.
void open_watch_skip(struct open_watch *watch, uint64_t until_ns)
{
	if (watch->last.asked == watch->n_asked)
		watch->since_ns = until_ns;
}

bool open_watch_has_moved(const struct open_watch *watch, const struct open_watch *before)
{
	const struct opens *now = &watch->last;
	const struct opens *then = &before->last;
	return !before->is_begun || now->asked != then->asked || now->heard != then->heard ||
	       now->answered != then->answered || now->refused != then->refused;
}

bool open_watch_is_waiting(const struct open_watch *watch, const struct open_rules *rules)
{
	return rules->hears_answers && watch->last.asked - watch->n_asked >= rules->fall;
}
