// SPDX-License-Identifier: GPL-2.0-or-later
//
// Running child processes: always by argument vector, never through a shell.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture {

struct Command {
  std::vector<std::string> argv;                         // argv[0] is looked up in PATH
  fs::path directory;                                    // empty: the caller's
  fs::path input;                                        // standard input; empty: none
  std::vector<std::pair<std::string, std::string>> env;  // added to the environment
  // Of the caller's environment only PATH, HOME and TMPDIR are passed on, so that what compilers,
  // kbuild and the dynamic linker listen to (CPATH, KCFLAGS, LD_PRELOAD, ...) does not change what
  // is made; or all of it.
  bool callers_environment = false;
};

struct Finished {
  int exit_status = 0;  // the exit code, or 128 + signal
  std::string out;      // standard output and standard error, in the order they came
  double seconds = 0;   // wall time
  long peak_kib = 0;    // the child's peak resident memory, KiB
};

// A started child whose output is gathered in the background of wait(). Its process group is its
// own, and it dies with this process. Destroying a running child kills its group.
class Child {
 public:
  static Result<Child> start(const Command& command);
  Child() = default;
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  // What takes the output as it comes, in pieces.
  using Output = std::function<void(std::string_view)>;

  // Waits for the end, gathering output. A missing program is missing-tool, an interrupt of this
  // process (SIGINT, SIGTERM) kills the child's group and gives `interrupted`. A non-zero exit is
  // not an error here.
  Result<Finished> wait();
  // The same, with the output given away instead of gathered.
  Result<Finished> wait(const Output& output);

  // Hung up (POLLHUP) once the child has ended: to poll beside other descriptors, not to read.
  int descriptor() const { return out_; }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  double started_ = 0;
  std::string name_;
};

// start and wait; a non-zero exit is not an error here.
Result<Finished> run(const Command& command);

// run, with the output given to `take` line by line instead of gathered.
Result<Finished> run_lines(const Command& command,
                           const std::function<void(std::string_view)>& take);

// run, where a non-zero exit is `code` with the last lines of the output as the reason.
Result<Finished> run_checked(const Command& command, Code code, const std::string& where,
                             const std::string& remedy);

// The program's path as PATH has it, or missing-tool with the Debian package that brings it.
Result<fs::path> find_program(const std::string& name, const std::string& package);

// SIGINT and SIGTERM set a flag instead of killing the process, so that temporary files are
// removed; interrupted() tells. Called once, by main.
void catch_interrupts();
bool interrupted();

// Seconds on the monotonic clock.
double now_seconds();

}  // namespace suture
