/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _SUTURE_BINDING_H
#define _SUTURE_BINDING_H

#include "suture_patch.h"

int suture_find_symbol(const struct suture_symbol *symbol, const struct suture_patch *patch,
		       unsigned long *address);
/* Checks all symbols of the relocations, then writes them. */
int suture_bind(const struct suture_patch *patch, const struct suture_relocation *relocations,
		size_t count);

#endif /* _SUTURE_BINDING_H */
