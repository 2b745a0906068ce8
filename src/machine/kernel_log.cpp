// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/kernel_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <utility>

namespace suture::machine {

namespace {

// Takes the number up to `end` off the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text, char end) {
  std::size_t at = text.find(end);
  std::uint64_t value = 0;
  if (at == std::string_view::npos ||
      std::from_chars(text.data(), text.data() + at, value).ptr != text.data() + at) {
    return std::nullopt;
  }
  text.remove_prefix(at + 1);
  return value;
}

}  // namespace

std::optional<LogRecord> parse_record(std::string_view record) {
  std::size_t semicolon = record.find(';');
  if (semicolon == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view head = record.substr(0, semicolon);
  auto priority = take_number(head, ',');
  auto sequence = take_number(head, ',');
  auto time = take_number(head, ',');
  if (!priority || !sequence || !time) {
    return std::nullopt;
  }
  std::string_view text = record.substr(semicolon + 1);
  return LogRecord{.level = static_cast<int>(*priority & 7),
                   .from_kernel = *priority >> 3 == 0,
                   .microseconds = *time,
                   .text = std::string(text.substr(0, text.find('\n')))};
}

Result<LogReader> LogReader::open(const fs::path& device, From from) {
  int fd = ::open(device.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, device.string(), "open");
  }
  if (from == From::now && ::lseek(fd, 0, SEEK_END) < 0) {
    int err = errno;
    ::close(fd);
    return fail_errno(err, device.string(), "seek");
  }
  return LogReader(fd);
}

LogReader::LogReader(LogReader&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), lost_(other.lost_) {}

LogReader::~LogReader() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

std::optional<LogRecord> LogReader::next() {
  char buffer[8192];  // one read gives one whole record
  for (;;) {
    ssize_t got = ::read(fd_, buffer, sizeof(buffer));
    if (got < 0 && errno == EPIPE) {
      lost_ = true;
      continue;
    }
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return std::nullopt;
    }
    if (auto record = parse_record({buffer, static_cast<std::size_t>(got)})) {
      return record;
    }
  }
}

}  // namespace suture::machine
