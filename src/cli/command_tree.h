// SPDX-License-Identifier: GPL-2.0-or-later
//
// The commands and their options: declared with plain types, parsed, and described for --help, the
// manual and the shells. The library that parses is included by command_tree.cpp only, as it is
// expensive to compile.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace suture::cli {

// What shells offer for a value that is not one of a few words.
enum class Offered { files, nothing, kernels, patches };

// An option or argument as people see it.
struct OptionInfo {
  std::vector<std::string> names;   // "-k", "--kernel"; of an argument one word, "MODULE"
  std::string value;                // what stands for its value; empty for a flag
  std::vector<std::string> values;  // that shells offer; empty: any
  std::string text;
  bool positional = false, required = false, many = false;
  Offered offered = Offered::files;
};

// A section of the manual that --help does not have: what is in it, and what that is for.
struct ManualSection {
  std::string heading;
  std::vector<std::pair<std::string, std::string>> entries;
};

struct CommandInfo {
  std::vector<std::string> path;  // "suture", "kernel", "add"
  std::string text;
  std::string footer;                 // below the options, may be empty
  std::vector<std::string> examples;  // command lines
  std::vector<ManualSection> sections;
  std::vector<OptionInfo> options;
  std::vector<CommandInfo> commands;  // those that are shown
};

// A declared option. A handle: copies speak of the same option.
class Option {
 public:
  struct Data;
  explicit Option(Data* data) : data_(data) {}
  const Option& required() const;
  const Option& between(unsigned long low, unsigned long high) const;
  const Option& positive() const;
  const Option& not_empty() const;
  // The path must be there when the command runs. Else it is the error that reading would give.
  const Option& existing() const;
  const Option& needs(const Option& other) const;
  const Option& excludes(const Option& other) const;
  // What shells offer for its value: files where nothing else is said.
  const Option& offers(Offered what) const;
  const Option& offers(std::vector<std::string> words) const;
  // Another description than the one that it was declared with.
  const Option& text(std::string text) const;

 private:
  Data* data_;
};

// A command. A handle, as Option is. `names` is "-k,--kernel", or "MODULE" for an argument. Of
// vectors, one value is taken each time that the option is given.
class Command {
 public:
  struct Data;
  explicit Command(Data* data) : data_(data) {}
  Command add(const std::string& name, const std::string& text) const;
  const Command& hidden() const;  // not for people: --help does not show it
  const Command& example(std::string line) const;
  const Command& section(ManualSection section) const;
  Option flag(const std::string& names, bool& to, const std::string& text) const;
  Option option(const std::string& names, std::string& to, const std::string& text) const;
  Option option(const std::string& names, fs::path& to, const std::string& text) const;
  Option option(const std::string& names, std::vector<std::string>& to,
                const std::string& text) const;
  Option option(const std::string& names, std::vector<fs::path>& to, const std::string& text) const;
  Option option(const std::string& names, unsigned& to, const std::string& text) const;
  Option option(const std::string& names, std::optional<unsigned>& to,
                const std::string& text) const;
  Option option(const std::string& names, double& to, const std::string& text) const;
  // One of a few words.
  Option choice(const std::string& names, std::string& to, const std::vector<std::string>& words,
                const std::string& text) const;
  // Seconds, as "90", "90s", "10m", "2h", "1d"; more than 0.
  Option duration(const std::string& names, std::optional<double>& to,
                  const std::string& text) const;
  Option duration(const std::string& names, double& to, const std::string& text) const;
  void on_run(std::function<void()> body) const;

 private:
  friend class CommandTree;
  Data* data_;
};

class CommandTree {
 public:
  CommandTree(const std::string& name, const std::string& text, const std::string& footer);
  CommandTree(const CommandTree&) = delete;
  CommandTree& operator=(const CommandTree&) = delete;
  ~CommandTree();
  Command root() const;
  CommandInfo info() const;

  struct Asked {
    bool help = false, version = false;
    CommandInfo command;  // the one that was named
  };
  // Parses, and runs the body of the command that was named, once all that it asks for is there.
  // Where help or the version was asked for, or a command that only has others below it was named,
  // nothing runs. usage, with the command's usage as the remedy; io.
  Result<Asked> run(int argc, char** argv);

 private:
  std::unique_ptr<Command::Data> root_;
};

// "suture kernel add" where `between` is " ".
std::string full_name(const CommandInfo& command, const std::string& between);

}  // namespace suture::cli
