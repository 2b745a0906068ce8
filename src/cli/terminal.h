// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the streams are connected to: a terminal, of which width, with or without colours; and the
// one line of progress that a terminal shows.
#pragma once

#include <string>
#include <string_view>

#include "kernel/packages.h"

namespace suture::cli {

// The characters of a line where the stream is a terminal, else 0.
std::size_t terminal_width(int fd);

// A terminal that can rewrite a line: not one with TERM=dumb.
bool understands_escapes(int fd);

// Colours: only on such a terminal, and where NO_COLOR is not set.
enum class Tone { good, bad, strong };
std::string paint(std::string_view text, Tone tone, int fd);

// Progress of long work on standard error: one line that is rewritten on such a terminal, plain
// lines elsewhere. An empty line ends it.
kernel::Progress progress();
// Takes away the line that progress shows, so that what is printed next has a line of its own.
void clear_progress();

}  // namespace suture::cli
