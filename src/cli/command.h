// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the commands share: how they register, print and fail. One file per command; each has one
// register_* function, called by main.cpp.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "cli/command_tree.h"
#include "cli/terminal.h"
#include "cli/text.h"
#include "kernel/kernel.h"

namespace suture::cli {

// What a command hands back when it succeeded: one object for --json, text for people otherwise.
struct Report {
  Json json;              // without "schema", which print adds
  std::string text;       // ends with a newline, or is empty
  int exit_status = 0;    // non-zero for a verdict that is a failure, e.g. of a test
  bool streamed = false;  // all JSON was printed as it came
};

// Whether what a command says goes to the system's log as well: that of those that change what the
// machine runs does.
enum class Logged { no, yes };

// Adds a command. The body runs after parsing; its report or error is printed here, and the exit
// status kept for main.
class Commands {
 public:
  Commands();
  Command add(const std::string& name, const std::string& text) {
    return tree_.root().add(name, text);
  }
  // Adds --json to `command`, which is returned, and runs `body` when the command was chosen.
  Option on_run(const Command& command, std::function<Result<Report>()> body,
                Logged logged = Logged::no);
  // Parses and runs; the exit status.
  int run(int argc, char** argv);
  // Whether people's text goes to standard error because standard output is for JSON.
  bool json() const { return json_; }
  // The stream of people's text.
  int fd() const;
  CommandInfo info() const { return tree_.info(); }

 private:
  void finish(const Result<Report>& result, Logged logged);
  void print_error(const Error& error);

  CommandTree tree_;
  bool json_ = false;
  int exit_status_ = 0;
};

// What --help says, as wide as the terminal.
std::string help_text(const CommandInfo& command);

// An error as people read it: what is wrong, and on a line of its own what to do next. What was
// refused says so, and does not look like a failure. The only place that knows this form.
std::string error_text(const Error& error, int fd);
// "next: ..." as a line; nothing where there is no remedy.
std::string next_text(std::string_view remedy, int fd);
Json error_json(const Error& error);
Json errors_json(const std::vector<Error>& errors);

// Rows of cells as columns that fit the terminal; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);

// -k/--kernel or --vmlinuz --config --symvers --source [--modules].
struct KernelChoice {
  std::string release;
  kernel::KernelFiles files;
  Option add_options(const Command& command);  // gives --kernel
  void add_file_options(const Command& command);
  bool has_files() const;
  // usage where some of the files are given without the others.
  Status check_files() const;
  // Where none is named: the running kernel if it is in the cache, else what kernel::find takes.
  Result<kernel::Kernel> find() const;
  // A line that says so where no kernel was named and `found` is not the running one.
  std::string default_note(const kernel::Kernel& found) const;
};

// The model of a patch for Suture's own core.
void add_model(const Command& command, std::string& model, const std::string& text);

void register_kernel(Commands& commands);
void register_build(Commands& commands);
void register_inspect(Commands& commands);
void register_check(Commands& commands);
void register_test(Commands& commands);
void register_load(Commands& commands);
void register_unload(Commands& commands);
void register_list(Commands& commands);
void register_status(Commands& commands);
void register_watch(Commands& commands);
void register_signal(Commands& commands);
void register_force(Commands& commands);
void register_accept(Commands& commands);
void register_keep_trial(Commands& commands);
void register_core(Commands& commands);
void register_core_compare(const Command& core, Commands& commands);
void register_install(Commands& commands);
void register_uninstall(Commands& commands);
void register_apply(Commands& commands);
void register_doctor(Commands& commands);
void register_guest_init(Commands& commands);
void register_help(Commands& commands);
void register_man(Commands& commands);
void register_completion(Commands& commands);

}  // namespace suture::cli
