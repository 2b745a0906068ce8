// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace suture {

namespace {

volatile sig_atomic_t interrupt_seen = 0;

void on_interrupt(int) { interrupt_seen = 1; }

// The last `count` lines of `text`, for an error's reason.
std::string last_lines(const std::string& text, int count) {
  std::size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) {
    return {};
  }
  std::size_t start = end;
  for (int seen = 0; start > 0; --start) {
    if (text[start - 1] == '\n' && ++seen == count) {
      break;
    }
  }
  return text.substr(start, end + 1 - start);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;  // no SA_RESTART: a blocking call must see the interrupt
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGHUP, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

bool interrupted() { return interrupt_seen != 0; }

double now_seconds() {
  timespec ts{};
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return static_cast<double>(ts.tv_sec) + static_cast<double>(ts.tv_nsec) * 1e-9;
}

// Everything that allocates is prepared before fork: between fork and exec a child of a
// multi-threaded process may only make async-signal-safe calls.
Result<Child> Child::start(const Command& command) {
  if (interrupted()) {
    return fail(Code::interrupted, command.argv.at(0), "interrupted", "run the command again");
  }
  std::vector<char*> argv;
  for (const std::string& arg : command.argv) {
    argv.push_back(const_cast<char*>(arg.c_str()));
  }
  argv.push_back(nullptr);
  std::vector<std::string> env_text;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    bool replaced = !command.callers_environment && !text.starts_with("PATH=") &&
                    !text.starts_with("HOME=") && !text.starts_with("TMPDIR=");
    for (const auto& [name, value] : command.env) {
      replaced = replaced || (text.starts_with(name) && text.substr(name.size()).starts_with('='));
    }
    if (!replaced) {
      env_text.emplace_back(text);
    }
  }
  for (const auto& [name, value] : command.env) {
    env_text.push_back(fmt::format("{}={}", name, value));
  }
  std::vector<char*> env;
  for (std::string& text : env_text) {
    env.push_back(text.data());
  }
  env.push_back(nullptr);

  int out[2];
  int exec_error[2];
  if (::pipe2(out, O_CLOEXEC) != 0) {
    return fail_errno(errno, command.argv[0], "pipe");
  }
  if (::pipe2(exec_error, O_CLOEXEC) != 0) {
    int err = errno;
    ::close(out[0]);
    ::close(out[1]);
    return fail_errno(err, command.argv[0], "pipe");
  }
  const pid_t parent = ::getpid();
  const char* directory = command.directory.empty() ? nullptr : command.directory.c_str();
  const char* input = command.input.empty() ? "/dev/null" : command.input.c_str();
  pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
      ::_exit(127);
    }
    int in = ::open(input, O_RDONLY);
    ::dup2(in, 0);
    ::dup2(out[1], 1);
    ::dup2(out[1], 2);
    ::signal(SIGPIPE, SIG_DFL);
    ::signal(SIGINT, SIG_DFL);  // a shell starts what it puts into the background without it
    if (in >= 0 && (directory == nullptr || ::chdir(directory) == 0)) {
      ::execvpe(argv[0], argv.data(), env.data());
    }
    int err = errno;
    ssize_t ignored = ::write(exec_error[1], &err, sizeof(err));
    (void)ignored;
    ::_exit(127);
  }
  int fork_error = errno;
  ::close(out[1]);
  ::close(exec_error[1]);
  if (pid < 0) {
    ::close(out[0]);
    ::close(exec_error[0]);
    return fail_errno(fork_error, command.argv[0], "fork");
  }
  int err = 0;
  ssize_t got = 0;
  do {
    got = ::read(exec_error[0], &err, sizeof(err));
  } while (got < 0 && errno == EINTR);
  ::close(exec_error[0]);
  if (got == static_cast<ssize_t>(sizeof(err))) {
    ::close(out[0]);
    ::waitpid(pid, nullptr, 0);
    if (err == ENOENT) {
      return fail(Code::missing_tool, command.argv[0], "the program was not found",
                  fmt::format("install the package that has '{}'", command.argv[0]));
    }
    return fail_errno(err, command.argv[0], "start");
  }
  Child child;
  child.pid_ = pid;
  child.out_ = out[0];
  child.started_ = now_seconds();
  child.name_ = command.argv[0];
  return child;
}

Result<Finished> Child::wait() {
  std::string out;
  Finished finished = TRY(wait([&](std::string_view piece) { out += piece; }));
  finished.out = std::move(out);
  return finished;
}

Result<Finished> Child::wait(const Output& output) {
  Finished finished;
  char buffer[65536];
  for (;;) {
    if (interrupted()) {
      ::kill(-pid_, SIGTERM);
      return fail(Code::interrupted, name_, "interrupted", "run the command again");
    }
    pollfd poll_fd{out_, POLLIN, 0};
    // The time limit closes the race between the check above and an interrupt before poll.
    int ready = ::poll(&poll_fd, 1, 500);
    if (ready <= 0) {
      continue;
    }
    ssize_t got = ::read(out_, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      break;
    }
    output({buffer, static_cast<std::size_t>(got)});
  }
  int status = 0;
  rusage usage{};
  while (::wait4(pid_, &status, 0, &usage) < 0) {
    if (errno != EINTR) {
      return fail_errno(errno, name_, "wait");
    }
  }
  pid_ = -1;
  finished.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  finished.seconds = now_seconds() - started_;
  finished.peak_kib = usage.ru_maxrss;
  return finished;
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      out_(std::exchange(other.out_, -1)),
      started_(other.started_),
      name_(std::move(other.name_)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(out_, other.out_);
  std::swap(started_, other.started_);
  std::swap(name_, other.name_);
  return *this;
}

Child::~Child() {
  if (pid_ > 0) {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  if (out_ >= 0) {
    ::close(out_);
  }
}

Result<Finished> run(const Command& command) {
  Child child = TRY(Child::start(command));
  return child.wait();
}

Result<Finished> run_lines(const Command& command,
                           const std::function<void(std::string_view)>& take) {
  Child child = TRY(Child::start(command));
  std::string open;  // a line whose end has not come yet
  Finished finished = TRY(child.wait([&](std::string_view piece) {
    for (std::size_t end = piece.find('\n'); end != std::string_view::npos;
         end = piece.find('\n')) {
      open += piece.substr(0, end);
      take(open);
      open.clear();
      piece.remove_prefix(end + 1);
    }
    open += piece;
  }));
  if (!open.empty()) {
    take(open);
  }
  return finished;
}

Result<Finished> run_checked(const Command& command, Code code, const std::string& where,
                             const std::string& remedy) {
  Finished finished = TRY(run(command));
  if (finished.exit_status != 0) {
    std::string tail = last_lines(finished.out, 8);
    return fail(code, where,
                fmt::format("'{}' ended with status {}{}{}", command.argv[0], finished.exit_status,
                            tail.empty() ? "" : ":\n", tail),
                remedy);
  }
  return finished;
}

Result<fs::path> find_program(const std::string& name, const std::string& package) {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "/usr/bin:/bin" : path;
  // sbin holds modprobe and friends and is not in every user's PATH.
  const std::string all = std::string(rest) + ":/usr/sbin:/sbin";
  rest = all;
  while (!rest.empty()) {
    std::size_t colon = rest.find(':');
    std::string_view dir = rest.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
    fs::path candidate = fs::path(dir) / name;
    if (!dir.empty() && ::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return fail(Code::missing_tool, name, "the program was not found",
              fmt::format("apt-get install {}", package));
}

}  // namespace suture
