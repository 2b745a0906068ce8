// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading the kernel's log record by record (Documentation/ABI/testing/dev-kmsg).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace suture::machine {

struct LogRecord {
  int level = 0;            // 0 emergency ... 7 debug
  bool from_kernel = true;  // false for what user space wrote into the log
  std::uint64_t microseconds = 0;
  std::string text;
};

// One record as /dev/kmsg gives it: "priority,sequence,microseconds,flags;text\n key=value\n".
std::optional<LogRecord> parse_record(std::string_view record);

class LogReader {
 public:
  enum class From { oldest, now };
  static Result<LogReader> open(const fs::path& device, From from);
  LogReader(LogReader&& other) noexcept;
  LogReader& operator=(LogReader&&) = delete;
  LogReader(const LogReader&) = delete;
  LogReader& operator=(const LogReader&) = delete;
  ~LogReader();

  // The next record, or nothing where there is none now.
  std::optional<LogRecord> next();
  // Whether the kernel overwrote records before they were read.
  bool lost() const { return lost_; }
  int descriptor() const { return fd_; }  // to poll

 private:
  explicit LogReader(int fd) : fd_(fd) {}
  int fd_ = -1;
  bool lost_ = false;
};

}  // namespace suture::machine
