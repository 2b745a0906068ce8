/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A little of everything that the differ knows: static and global functions and data, strings, a
 * static local, a jump table of the compiler, a cold part, and rows of the kernel's tables.
 */
extern int printk(const char *format, ...);
extern void other(void *);

#define EXTABLE "771: nop\n.pushsection __ex_table,\"a\"\n.balign 4\n" \
	".long 771b - .\n.long 771b - .\n.long 3\n.popsection\n"
#define BUG "772: ud2\n.pushsection __bug_table,\"aw\"\n.long 772b - .\n.long 0\n" \
	".word " LINE "\n.word 1\n.popsection\n"
#define ALTERNATIVE "773: nop\n774:\n.pushsection .altinstructions,\"a\"\n.long 773b - .\n" \
	".long 775f - .\n.word 7\n.byte 774b - 773b, 776f - 775f\n.popsection\n" \
	".pushsection .altinstr_replacement,\"ax\"\n775: lfence\n776:\n.popsection\n"
#define ORC "777: nop\n.pushsection .orc_unwind_ip,\"a\"\n.long 777b - .\n.popsection\n" \
	".pushsection .orc_unwind,\"a\"\n.byte 1, 2, 3, 4, 5, 6\n.popsection\n"

#ifdef POST
#define STEP 3
#define LINE "20"
#else
#define STEP 2
#define LINE "10"
#endif

static const int weights[] = { 1, 2, 3, STEP };
static int counter;
int shared = 7;
static void *handlers[] = { &counter, &shared };

static __attribute__((noinline)) int weigh(int n)
{
	static int calls;

	__asm__ volatile(EXTABLE ORC);
	calls += weights[n & 3];
	return calls + counter++;
}

static __attribute__((cold, noinline)) void complain(int n)
{
	__asm__ volatile(BUG);
	printk("bad number %d\n", n);
}

int choose(int n)
{
	__asm__ volatile(ALTERNATIVE ORC);
	switch (n) {
	case 0: return weigh(1) + 11;
	case 1: return weigh(2) * 5;
	case 2: other(handlers[0]); return 3;
	case 3: other(handlers[1]); return 77;
	case 4: return shared * STEP;
	case 5: return shared - 9;
	default: complain(n); return -1;
	}
}

#ifdef POST
int added(int n)
{
	printk("added %d\n", n);
	return choose(n + 1);
}
#endif
