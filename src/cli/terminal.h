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

// Colours and lines that are rewritten: only on a terminal that understands them (TERM is not
// "dumb"), colours only where NO_COLOR is not set.
enum class Tone { plain, good, bad, strong, faint };
std::string paint(std::string_view text, Tone tone, int fd);

// Progress of long work on standard error: one line that is rewritten on a terminal, plain lines
// elsewhere. An empty line ends it.
kernel::Progress progress();
// Takes away the line that progress shows, so that what is printed next has a line of its own.
void clear_progress();

}  // namespace suture::cli
