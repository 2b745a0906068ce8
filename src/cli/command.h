// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the commands share: how they register, print and fail. One file per command; each has one
// register_* function, called by main.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "kernel/packages.h"

namespace suture::cli {

// Ordered, so that "schema" stays the first key.
using Json = nlohmann::ordered_json;

// What a command hands back when it succeeded: one object for --json, text for people otherwise.
struct Report {
  Json json;              // without "schema", which print adds
  std::string text;       // ends with a newline, or is empty
  int exit_status = 0;    // non-zero for a verdict that is a failure, e.g. of a test
  bool streamed = false;  // all JSON was printed as it came
};

// Adds a command. The body runs after parsing; its report or error is printed here, and the exit
// status kept for main.
class Commands {
 public:
  explicit Commands(CLI::App& app) : app_(app) {}
  CLI::App& app() { return app_; }
  // Adds --json to `command` and runs `body` when it was chosen. Options take one value each time
  // they are given, also those that may be repeated: what follows is never swallowed.
  void on_run(CLI::App* command, std::function<Result<Report>()> body);
  int exit_status() const { return exit_status_; }
  // Whether people's text goes to standard error because standard output is for JSON.
  bool json() const { return json_; }

 private:
  void finish(Result<Report> result);

  CLI::App& app_;
  bool json_ = false;
  int exit_status_ = 0;
};

// Progress of long work on standard error: one line that is rewritten on a terminal, plain lines
// elsewhere.
kernel::Progress progress();

// Colours, only where the stream is a terminal and NO_COLOR is not set.
enum class Tone { plain, good, bad, strong, faint };
std::string paint(std::string_view text, Tone tone, int fd);

// An error as people read it: what is wrong, and on a line of its own what to do next. What was
// refused says so, and does not look like a failure. The only place that knows this form.
std::string error_text(const Error& error, int fd);
// "next: ..." as a line; nothing where there is no remedy.
std::string next_text(std::string_view remedy, int fd);
Json error_json(const Error& error);

// "a, b, c"
std::string joined(const std::vector<std::string>& words);
// Rows of cells as aligned columns, two spaces apart; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows);

// -k/--kernel or --vmlinuz --config --symvers --source [--modules].
struct KernelChoice {
  std::string release;
  kernel::KernelFiles files;
  void add_options(CLI::App* command);
  Result<kernel::Kernel> find() const;
};

// The model of a patch for Suture's own core.
void add_model(CLI::App* command, std::string& model, const std::string& text);

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
void register_core_compare(CLI::App* core, Commands& commands);
void register_install(Commands& commands);
void register_uninstall(Commands& commands);
void register_apply(Commands& commands);
void register_doctor(Commands& commands);
void register_guest_init(Commands& commands);
void register_man(Commands& commands);
void register_completion(Commands& commands);

}  // namespace suture::cli
