/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One of every kind of type that the compiler writes into .BTF. */
typedef unsigned int u32;
enum colour { red, green = 7, blue = -1 };
enum { nameless = 3 };
union value { long number; char text[8]; };
struct later;
struct node {
	struct node *next;
	const struct later *later;
	volatile u32 flags : 3, more : 29;
	enum colour colour;
	union value value;
	struct { int x, y; } point;
	union { short a; char b; };
	int (*call)(struct node *node, ...);
	u32 matrix[3][4];
};
typedef struct { struct node *head; float weight; _Bool full; } list;

static int count;

int total(list *list, enum colour colour)
{
	return list->full ? count + (int)colour + nameless : list->head->point.x;
}
