/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a patch module made for Suture's own core (`suture build --for suture`) says to that core.
 *
 * The module writer lays these structures out as data; the core only reads them, but for the
 * members named below, and keeps what it needs beyond them in memory of its own. They hold
 * nothing whose size depends on the kernel, so one description serves every 64-bit kernel: each
 * member is 8 bytes, but where two unsigned ints share them. A change of any of them raises
 * SUTURE_PATCH_ABI.
 */
#ifndef _SUTURE_PATCH_H
#define _SUTURE_PATCH_H

#define SUTURE_PATCH_ABI 2

struct module;

/* Something of the kernel that the patch replaces or refers to. */
struct suture_symbol {
	const char *object;		/* NULL: vmlinux */
	const char *name;
	unsigned long sympos;		/* as in klp_func.old_sympos: 0 where the name is unique */
	/*
	 * vmlinux: in the image that the patch was matched against, before the kernel moved
	 * itself; the core checks that the running kernel has the symbol there. 0 for a module's.
	 */
	unsigned long address;
};

/* One function that calls are redirected from, and to. Every size is in bytes. */
struct suture_func {
	const struct suture_symbol *old;
	unsigned long old_size;
	const struct suture_symbol *old_cold;	/* what the compiler split off; NULL: nothing */
	unsigned long old_cold_size;
	void *new_func;
	unsigned long new_size;
	void *new_cold;				/* NULL: none */
	unsigned long new_cold_size;
	/*
	 * Where a direct call from the old function's entry may go: drops the return address into
	 * the old function and jumps to new_func. SUTURE_ENTRY_SIZE bytes of the module's own
	 * text. NULL: calls go through the handler for as long as the patch is there.
	 */
	void *entry;
};

#define SUTURE_ENTRY_SIZE 16

/* A field of the module that holds the address of something of the kernel. */
struct suture_relocation {
	void *place;
	const struct suture_symbol *symbol;
	long addend;
	unsigned int type;		/* of the ELF ABI: R_X86_64_PC32, ... */
	unsigned int reserved;		/* 0 */
};

struct suture_object;

struct suture_callbacks {
	int (*pre_patch)(struct suture_object *object);
	void (*post_patch)(struct suture_object *object);
	void (*pre_unpatch)(struct suture_object *object);
	void (*post_unpatch)(struct suture_object *object);
};

struct suture_object {
	const char *name;		/* NULL: vmlinux */
	struct module *mod;		/* set by the core while the module is there */
	const struct suture_func *funcs;
	unsigned long nr_funcs;
	/*
	 * Of code and data that belong to the object, to symbols of modules: bound when it is
	 * patched.
	 */
	const struct suture_relocation *relocations;
	unsigned long nr_relocations;
	struct suture_callbacks callbacks;
};

struct suture_system_state {
	unsigned long id;
	unsigned int version;
	unsigned int reserved;		/* 0 */
	void *data;			/* the patch's own */
};

struct suture_patch {
	unsigned int abi;		/* SUTURE_PATCH_ABI */
	unsigned int replace;		/* 1: takes over all patches before it */
	struct module *mod;
	struct suture_object *objects;	/* vmlinux first */
	unsigned long nr_objects;
	struct suture_system_state *states;
	unsigned long nr_states;
	/* To symbols of vmlinux: bound while the module is loaded, before anything of it runs. */
	const struct suture_relocation *relocations;
	unsigned long nr_relocations;
	unsigned long image_text;	/* of _text, in the image of suture_symbol.address */
	/*
	 * Of that image, as lower-case hex; the running kernel must have the same one before
	 * anything of vmlinux is bound. NULL: it has none.
	 */
	const char *image_build_id;
};

/*
 * What the core exports to patch modules. `model` is "stop", "lazy" or "hybrid", or NULL for the
 * core's default. Called by the module's init function; after the patch has been taken back, the
 * module can be removed.
 */
int suture_enable_patch(struct suture_patch *patch, const char *model);

/* The state as this patch has it, and as the patches enabled before it have it; else NULL. */
struct suture_system_state *suture_patch_state(struct suture_patch *patch, unsigned long id);
struct suture_system_state *suture_prev_state(unsigned long id);

/* Shadow variables, by the rules of Documentation/livepatch/shadow-vars.rst. */
typedef int (*suture_shadow_ctor_t)(void *object, void *shadow_data, void *ctor_data);
typedef void (*suture_shadow_dtor_t)(void *object, void *shadow_data);
void *suture_shadow_get(void *object, unsigned long id);
void *suture_shadow_alloc(void *object, unsigned long id, unsigned long size, unsigned int gfp,
			  suture_shadow_ctor_t ctor, void *ctor_data);
void *suture_shadow_get_or_alloc(void *object, unsigned long id, unsigned long size,
				 unsigned int gfp, suture_shadow_ctor_t ctor, void *ctor_data);
void suture_shadow_free(void *object, unsigned long id, suture_shadow_dtor_t dtor);
void suture_shadow_free_all(unsigned long id, suture_shadow_dtor_t dtor);

#endif /* _SUTURE_PATCH_H */
