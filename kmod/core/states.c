// SPDX-License-Identifier: GPL-2.0
/*
 * System states, by the rules of Documentation/livepatch/system-state.rst: a patch may follow
 * those that are enabled where it has each of their states in the same or a later version; one
 * that does not replace them need not have it.
 */
#include "core.h"

static struct suture_system_state *find_state(const struct suture_patch *patch, unsigned long id)
{
	unsigned long i;

	for (i = 0; i < patch->nr_states; i++)
		if (patch->states[i].id == id)
			return &patch->states[i];
	return NULL;
}

static bool follows(const struct suture_patch *patch, const struct suture_system_state *earlier)
{
	const struct suture_system_state *state = find_state(patch, earlier->id);

	return state ? state->version >= earlier->version : !patch->replace;
}

bool suture_states_fit(const struct suture_patch *patch)
{
	struct suture_live *live;
	unsigned long i;

	list_for_each_entry(live, &suture_patches, node)
		for (i = 0; i < live->patch->nr_states; i++)
			if (!follows(patch, &live->patch->states[i]))
				return false;
	return true;
}

struct suture_system_state *suture_patch_state(struct suture_patch *patch, unsigned long id)
{
	return patch ? find_state(patch, id) : NULL;
}
EXPORT_SYMBOL_GPL(suture_patch_state);

/* Called by callbacks, so with suture_mutex held: the patch in transition is not an earlier one. */
struct suture_system_state *suture_prev_state(unsigned long id)
{
	struct suture_system_state *state, *last = NULL;
	struct suture_live *live;

	if (WARN_ON_ONCE(!suture_transition.live))
		return NULL;
	list_for_each_entry(live, &suture_patches, node) {
		if (live == suture_transition.live)
			break;
		state = find_state(live->patch, id);
		if (state)
			last = state;
	}
	return last;
}
EXPORT_SYMBOL_GPL(suture_prev_state);
