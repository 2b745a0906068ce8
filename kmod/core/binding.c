// SPDX-License-Identifier: GPL-2.0
/*
 * Problem: code of a patch refers to what the kernel does not export, and a wrong address would
 * be called or written to.
 *
 * Method: for vmlinux the patch states the address in the image that it was matched against; how
 * far the running kernel has moved is told by _text. The running kernel must have that image's
 * build-id, and start a symbol of the name that the patch states right there. In a module the
 * symbol is found by its name and its position among those of that name. All are found before the
 * first byte is written, so that a patch for another kernel changes nothing.
 */
#include <linux/elf.h>
#include <linux/kernel.h>
#include <linux/slab.h>

#include "arch/arch.h"
#include "binding.h"
#include "compat.h"
#include "kernel_symbols.h"
#include "log.h"

struct search {
	const char *name;
	unsigned long address;		/* wanted, or found */
	unsigned long sympos;		/* the one that is wanted; 0: the only one */
	unsigned long count;		/* seen so far */
	const struct module *mod;
	bool found;
};

static SUTURE_SYMBOL_VISITOR(has_address, data, name, address)
{
	struct search *search = data;

	search->found = address == search->address && !strcmp(name, search->name);
	return search->found;
}

/* Several symbols may share an address, of which a lookup by address gives one. */
static bool name_is_at(const char *name, unsigned long address)
{
	struct search search = { .name = name, .address = address };
	char *found = kmalloc(KSYM_SYMBOL_LEN, GFP_KERNEL);
	size_t length = strlen(name);
	bool same = false;

	if (found) {
		/* "name+0x0/0x80": the start of it, and not its middle */
		sprint_symbol(found, address);
		same = !strncmp(found, name, length) && !strncmp(found + length, "+0x0/", 5);
		kfree(found);
	}
	if (same)
		return true;
	static_call(suture_kallsyms_on_each_symbol)(has_address, &search);
	return search.found;
}

/* The type of a note named "GNU"; kernels define it where it cannot be included. */
#define BUILD_ID_NOTE 3

/* The notes of the running kernel, one after the other; NULL: none is its build-id. */
static const struct elf_note *find_build_id(void)
{
	const void *at = suture_notes;
	const struct elf_note *note;

	while (at && at + sizeof(*note) <= suture_notes_end) {
		note = at;
		if (note->n_type == BUILD_ID_NOTE && note->n_namesz == sizeof("GNU") &&
		    !memcmp(note + 1, "GNU", sizeof("GNU")))
			return note;
		at += sizeof(*note) + ALIGN(note->n_namesz, 4) + ALIGN(note->n_descsz, 4);
	}
	return NULL;
}

#define MOST_OF_BUILD_ID 64

/* Whether it is the image that the patch was matched against that runs here. */
static bool is_running(const char *build_id)
{
	const struct elf_note *note = find_build_id();
	u8 bytes[MOST_OF_BUILD_ID];

	if (!note || !build_id)
		return !note && !build_id;
	return note->n_descsz <= sizeof(bytes) && strlen(build_id) == 2 * note->n_descsz &&
	       !hex2bin(bytes, build_id, note->n_descsz) &&
	       !memcmp(bytes, (const void *)(note + 1) + sizeof("GNU"), note->n_descsz);
}

/* Per-CPU symbols are offsets, which do not move with the kernel. */
static int find_in_vmlinux(const struct suture_symbol *symbol, const struct suture_patch *patch,
			   unsigned long *address)
{
	if (!is_running(patch->image_build_id)) {
		pr_err("'%s' is for a kernel of another build\n", patch->mod->name);
		return -EINVAL;
	}
	*address = symbol->address;
	if (symbol->address >= patch->image_text)
		*address += suture_text - patch->image_text;
	if (name_is_at(symbol->name, *address))
		return 0;
	pr_err("'%s': the running kernel has no '%s' where the patch's has it\n",
	       patch->mod->name, symbol->name);
	return -EINVAL;
}

static int count_symbol(struct search *search, const char *name, unsigned long address)
{
	if (strcmp(name, search->name))
		return 0;
	search->count++;
	search->address = address;
	search->found = search->count == search->sympos || !search->sympos;
	/* Without a position it has to be the only one, so all are looked at. */
	return search->sympos && search->found;
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)

static int visit_module_symbol(void *data, const char *name, unsigned long address)
{
	return count_symbol(data, name, address);
}

static void search_module(struct search *search, const char *module)
{
	static_call(suture_module_kallsyms_on_each_symbol)(module, visit_module_symbol, search);
}

#else

static int visit_module_symbol(void *data, const char *name, struct module *mod,
			       unsigned long address)
{
	struct search *search = data;

	return mod == search->mod ? count_symbol(search, name, address) : 0;
}

static void search_module(struct search *search, const char *module)
{
	rcu_read_lock_sched();
	search->mod = static_call(suture_find_module)(module);
	rcu_read_unlock_sched();
	if (search->mod)
		static_call(suture_module_kallsyms_on_each_symbol)(visit_module_symbol, search);
}

#endif

static int find_in_module(const struct suture_symbol *symbol, const struct suture_patch *patch,
			  unsigned long *address)
{
	struct search search = { .name = symbol->name, .sympos = symbol->sympos };

	search_module(&search, symbol->object);
	*address = search.address;
	if (search.found && (symbol->sympos || search.count == 1))
		return 0;
	pr_err("'%s': the module '%s' has %lu symbols '%s', and not the one that is meant\n",
	       patch->mod->name, symbol->object, search.count, symbol->name);
	return search.count ? -EINVAL : -ENOENT;
}

int suture_find_symbol(const struct suture_symbol *symbol, const struct suture_patch *patch,
		       unsigned long *address)
{
	return symbol->object ? find_in_module(symbol, patch, address) :
				find_in_vmlinux(symbol, patch, address);
}

struct bound {
	u8 bytes[8];
	int size;
};

static bool is_in(const struct module *mod, const void *place)
{
	return within_module((unsigned long)place, mod);
}

/* Many relocations in a row mean the same symbol; each is looked for once in a row. */
static int find_all(const struct suture_patch *patch, const struct suture_relocation *relocations,
		    size_t count, struct bound *bound)
{
	const struct suture_symbol *last = NULL;
	unsigned long address = 0;
	size_t i;
	int ret;

	for (i = 0; i < count; i++) {
		if (!is_in(patch->mod, relocations[i].place)) {
			pr_err("'%s': a relocation outside of the module\n", patch->mod->name);
			return -ENOEXEC;
		}
		if (relocations[i].symbol != last) {
			ret = suture_find_symbol(relocations[i].symbol, patch, &address);
			if (ret)
				return ret;
			last = relocations[i].symbol;
		}
		bound[i].size = suture_arch_relocate(&relocations[i], address, bound[i].bytes);
		if (bound[i].size < 0)
			return bound[i].size;
	}
	return 0;
}

int suture_bind(const struct suture_patch *patch, const struct suture_relocation *relocations,
		size_t count)
{
	struct bound *bound;
	size_t i;
	int ret;

	if (!count)
		return 0;
	bound = kvmalloc_array(count, sizeof(*bound), GFP_KERNEL);
	if (!bound)
		return -ENOMEM;
	ret = find_all(patch, relocations, count, bound);
	for (i = 0; i < count && !ret; i++)
		suture_arch_write(relocations[i].place, bound[i].bytes, bound[i].size);
	if (!ret)
		suture_arch_written();
	kvfree(bound);
	return ret;
}
