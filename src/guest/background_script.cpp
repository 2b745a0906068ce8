// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/background_script.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace suture::guest {

namespace {

constexpr int stop_grace_milliseconds = 2000;

[[noreturn]] void run_in_child(int output, const char* path, const char* argument) {
  ::setpgid(0, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  ::signal(SIGPIPE, SIG_DFL);
  ::execl(path, path, argument, nullptr);
  if (errno == ENOEXEC) {  // no "#!" line: the shell's business, as everywhere
    ::execl("/bin/sh", "/bin/sh", path, argument, nullptr);
  }
  ::dprintf(2, "%s does not start: %s\n", path, std::strerror(errno));
  ::_exit(127);
}

}  // namespace

Result<BackgroundScript> BackgroundScript::start(const std::string& path,
                                                 const std::string& argument,
                                                 const Environment& environment) {
  BackgroundScript script;
  script.output_ = ::memfd_create("script-output", MFD_CLOEXEC);
  if (script.output_ < 0) {
    return fail_errno(errno, path, "make room for its output");
  }
  for (const auto& [name, value] : environment) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  script.pid_ = ::fork();
  if (script.pid_ < 0) {
    return fail_errno(errno, path, "fork");
  }
  if (script.pid_ == 0) {
    run_in_child(script.output_, path.c_str(), argument.c_str());
  }
  ::setpgid(script.pid_, script.pid_);  // whoever of the two comes first
  script.group_ = script.pid_;
  script.pid_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, script.pid_, 0));
  if (script.pid_fd_ < 0) {
    return fail_errno(errno, path, "watch");
  }
  return script;
}

BackgroundScript::BackgroundScript(BackgroundScript&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      group_(std::exchange(other.group_, -1)),
      pid_fd_(std::exchange(other.pid_fd_, -1)),
      output_(std::exchange(other.output_, -1)),
      seen_(other.seen_),
      exit_status_(other.exit_status_) {}

BackgroundScript::~BackgroundScript() {
  stop();
  if (pid_fd_ >= 0) {
    ::close(pid_fd_);
  }
  if (output_ >= 0) {
    ::close(output_);
  }
}

std::optional<int> BackgroundScript::wait(int milliseconds) {
  if (pid_ < 0) {
    return exit_status_;
  }
  pollfd end{pid_fd_, POLLIN, 0};
  if (::poll(&end, 1, milliseconds) <= 0) {
    return std::nullopt;
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  exit_status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return exit_status_;
}

std::optional<int> BackgroundScript::stop() {
  if (group_ < 0) {
    return exit_status_;
  }
  std::optional<int> ended = wait(0);
  ::kill(-group_, SIGTERM);
  if (!ended && !wait(stop_grace_milliseconds)) {
    ::kill(-group_, SIGKILL);
    wait(-1);
  }
  ::kill(-group_, SIGKILL);
  group_ = -1;
  return ended;
}

std::string BackgroundScript::new_output() {
  std::string text;
  char buffer[4096];
  for (;;) {
    ssize_t got = ::pread(output_, buffer, sizeof(buffer), seen_);
    if (got <= 0) {
      return text;
    }
    text.append(buffer, static_cast<std::size_t>(got));
    seen_ += got;
  }
}

}  // namespace suture::guest
