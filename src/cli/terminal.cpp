// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "cli/text.h"

namespace suture::cli {

namespace {

constexpr std::size_t usual_width = 80;

std::size_t progress_shown = 0;  // columns of progress in the terminal's last line

bool set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

void show_progress(std::string_view line) {
  if (!understands_escapes(STDERR_FILENO)) {
    if (!line.empty()) {
      std::fprintf(stderr, "%s\n", std::string(line).c_str());
    }
    return;
  }
  clear_progress();
  if (!line.empty()) {
    const std::string_view part = first_columns(line, terminal_width(STDERR_FILENO) - 1);
    std::fprintf(stderr, "%s", std::string(part).c_str());
    progress_shown = columns(part);
  }
  std::fflush(stderr);
}

}  // namespace

std::size_t terminal_width(int fd) {
  if (::isatty(fd) == 0) {
    return 0;
  }
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual_width;
}

bool understands_escapes(int fd) {
  const char* terminal = std::getenv("TERM");
  return ::isatty(fd) != 0 && terminal != nullptr && std::string_view(terminal) != "dumb";
}

std::string paint(std::string_view text, Tone tone, int fd) {
  if (!understands_escapes(fd) || set("NO_COLOR")) {
    return std::string(text);
  }
  const char* start = tone == Tone::good ? "\033[32m" : tone == Tone::bad ? "\033[31m" : "\033[1m";
  return fmt::format("{}{}\033[0m", start, text);
}

kernel::Progress progress() { return show_progress; }

void clear_progress() {
  if (progress_shown > 0) {
    // By blanks, as who wants no colours wants no other escapes either.
    std::fprintf(stderr, "\r%s\r", std::string(progress_shown, ' ').c_str());
    std::fflush(stderr);
    progress_shown = 0;
  }
}

}  // namespace suture::cli
