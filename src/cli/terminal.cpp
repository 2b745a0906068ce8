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

bool progress_shown = false;  // the terminal's last line is progress

bool set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

bool understands_escapes(int fd) {
  const char* terminal = std::getenv("TERM");
  return ::isatty(fd) != 0 && terminal != nullptr && std::string_view(terminal) != "dumb";
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
    progress_shown = true;
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

std::string paint(std::string_view text, Tone tone, int fd) {
  if (tone == Tone::plain || !understands_escapes(fd) || set("NO_COLOR")) {
    return std::string(text);
  }
  const char* start = tone == Tone::good     ? "\033[32m"
                      : tone == Tone::bad    ? "\033[31m"
                      : tone == Tone::strong ? "\033[1m"
                                             : "\033[2m";
  return fmt::format("{}{}\033[0m", start, text);
}

kernel::Progress progress() { return show_progress; }

void clear_progress() {
  if (progress_shown) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    progress_shown = false;
  }
}

}  // namespace suture::cli
