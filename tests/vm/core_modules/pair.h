/* SPDX-License-Identifier: GPL-2.0 */
int pair_left(int sleep);
int pair_right(int unused);
int pair_outer(int sleep);
