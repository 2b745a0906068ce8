/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a patch module says about itself: Suture's own strings where OURS is defined, else the data
 * of other builders, klp_func arrays and kpatch's list, from which the same is told.
 */
#define SECTION(name) __attribute__((section(name), used))
#define INFO(n, text) static const char info_##n[] SECTION(".modinfo") = text

INFO(0, "name=fix");
INFO(1, "vermagic=6.1.0-56-amd64 SMP preempt mod_unload modversions ");
INFO(2, "livepatch=Y");
INFO(3, "depends=ext4,nf_tables");
INFO(4, "description=a fix");
#ifdef OURS
INFO(10, "suture.format=1");
INFO(11, "suture.patch=fix");
INFO(12, "suture.version=3");
INFO(13, "suture.tool=0.1.0");
INFO(14, "suture.release=6.1.0-56-amd64");
INFO(15, "suture.replace=1");
INFO(16, "suture.description=mend it");
INFO(17, "suture.cve=CVE-2026-1234");
INFO(18, "suture.diff=ab12 fix.patch");
INFO(19, "suture.object=vmlinux cd34");
INFO(20, "suture.object=ext4 ef56");
INFO(21, "suture.func=vmlinux cmdline_proc_show 2 fs/proc/cmdline.c");
INFO(22, "suture.new=ext4 added fs/ext4/inode.c");
#endif

extern int printk(const char *format, ...);
extern int hidden(void) __asm__("\".klp.sym.vmlinux.hidden,2\"");

static int replaced(void) { return printk("replaced\n"); }
static int also_replaced(void) { return hidden(); }

struct klp_func { const char *name; void *code; unsigned long sympos; char state[40]; };
struct klp_object { const char *name; struct klp_func *funcs; char state[64]; };
static struct klp_func of_vmlinux[] = { { "f", replaced, 1 }, { "g", also_replaced }, {} };
static struct klp_func of_ext4[] = { { "h", also_replaced, 2 }, {} };
struct klp_object objects[] = { { 0, of_vmlinux }, { "ext4", of_ext4 }, {} };

struct kpatch_func {
	unsigned long new_addr, new_size, old_addr, old_size, sympos;
	const char *name, *object;
};
struct kpatch_func listed[] SECTION(".kpatch.funcs") = {
	{ (unsigned long)replaced, 16, 0, 16, 1, "k", "vmlinux" },
	{ (unsigned long)also_replaced, 16, 0, 16, 0, "l", "ext4" },
};

struct { char state[24], name[56], rest[64]; } __this_module SECTION(".gnu.linkonce.this_module") = {
	.name = "fix" };
static const unsigned int note[] SECTION(".note.gnu.build-id,\"a\",@note#") = {
	4, 8, 3, 0x00554e47, 0x12345678, 0x9abcdef0 };
int kept __attribute__((section(".data..percpu")));
int at_start __attribute__((section(".init.data"))) = 1;
