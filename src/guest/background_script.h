// SPDX-License-Identifier: GPL-2.0-or-later
//
// A user's script running in the guest, with its output kept in memory. A pipe would not do: what a
// script leaves running in the background would die of it once nobody reads.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace suture::guest {

class BackgroundScript {
 public:
  using Environment = std::vector<std::pair<std::string, std::string>>;
  static Result<BackgroundScript> start(const std::string& path, const std::string& argument,
                                        const Environment& environment);
  BackgroundScript(BackgroundScript&& other) noexcept;
  BackgroundScript& operator=(BackgroundScript&&) = delete;
  BackgroundScript(const BackgroundScript&) = delete;
  BackgroundScript& operator=(const BackgroundScript&) = delete;
  ~BackgroundScript();  // as stop()

  // The exit code, or 128 + signal, once it has ended; waits at most that long.
  std::optional<int> wait(int milliseconds);
  // Ends the script and what it started. Gives its exit code only where it had ended by itself.
  std::optional<int> stop();
  // What it has written since the last call.
  std::string new_output();

 private:
  BackgroundScript() = default;
  pid_t pid_ = -1;
  pid_t group_ = -1;
  int pid_fd_ = -1;
  int output_ = -1;
  off_t seen_ = 0;
  std::optional<int> exit_status_;
};

}  // namespace suture::guest
