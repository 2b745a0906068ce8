// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command_tree.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "cli/help.h"
#include "cli/text.h"

namespace suture::cli {

struct Option::Data {
  CLI::Option* option = nullptr;
  OptionInfo info;
  bool existing = false;
};

struct Command::Data {
  std::unique_ptr<CLI::App> root;  // of the first command only
  CLI::App* app = nullptr;
  std::string text, footer;
  std::vector<std::string> path;
  std::vector<std::string> examples;
  std::vector<ManualSection> sections;
  bool hidden = false;
  std::vector<std::unique_ptr<Option::Data>> options;
  std::vector<std::unique_ptr<Data>> commands;
  std::function<void()> body;

  // What --help says is kept here; the library only parses.
  template <class Value>
  Option::Data* take(const std::string& names, Value& to, const std::string& about,
                     const std::string& value) {
    const std::size_t space = names.find(' ');
    Option::Data* data = enter(names.substr(0, space), about);
    data->info.value = space == std::string::npos ? value : names.substr(space + 1);
    data->option = app->add_option(names.substr(0, space), to);
    data->info.many = data->option->get_items_expected_max() > 1;
    if (data->info.positional) {
      data->info.value.clear();
    } else {
      data->option->allow_extra_args(false);  // one value each time, so nothing is swallowed
    }
    return data;
  }

  Option::Data* enter(const std::string& names, const std::string& about) {
    Option::Data* data = options.emplace_back(std::make_unique<Option::Data>()).get();
    data->info.names = CLI::detail::split_names(names);
    data->info.positional = names.front() != '-';
    data->info.text = about;
    return data;
  }
};

namespace {

CommandInfo describe(const Command::Data& command) {
  CommandInfo out{.path = command.path,
                  .text = command.text,
                  .footer = command.footer,
                  .examples = command.examples,
                  .sections = command.sections,
                  .options = {},
                  .commands = {}};
  for (const auto& option : command.options) {
    out.options.push_back(option->info);
  }
  for (const auto& below : command.commands) {
    if (!below->hidden) {
      out.commands.push_back(describe(*below));
    }
  }
  return out;
}

// The last command that was named.
const Command::Data& named(const Command::Data& command) {
  for (const auto& below : command.commands) {
    if (below->app->parsed()) {
      return named(*below);
    }
  }
  return command;
}

std::string plain(std::string text) {
  // "Value 11 not in range 0 to 10" begins a sentence, "--fuzz: ..." and "MODULE ..." do not.
  for (const char* word : {"Value", "Could", "The", "At"}) {
    const std::size_t at = text.find(word);
    if (at != std::string::npos && (at == 0 || text[at - 1] == ' ')) {
      text[at] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[at])));
    }
  }
  return text;
}

// What is wrong with the command line, in one sentence, and what was probably meant.
std::pair<std::string, std::optional<std::string>> explain(const CLI::ParseError& error,
                                                           const Command::Data& root,
                                                           const CommandInfo& command) {
  for (const std::string& word : root.app->remaining(true)) {
    if (word.starts_with('-') && word.size() > 1) {
      std::vector<std::string> known;
      for (const OptionInfo& option : command.options) {
        known.insert(known.end(), option.names.begin(), option.names.end());
      }
      return {fmt::format("there is no option {}", word),
              nearest(word.substr(0, word.find('=')), known)};
    }
    if (command.commands.empty()) {
      return {fmt::format("'{}' is one argument too many", word), std::nullopt};
    }
    std::vector<std::string> known;
    for (const CommandInfo& below : command.commands) {
      known.push_back(below.path.back());
    }
    std::optional<std::string> meant = nearest(word, known);
    if (meant) {
      meant = full_name(command, " ") + " " + *meant;
    }
    return {fmt::format("there is no command '{}'", word), std::move(meant)};
  }
  const std::string what = error.what();
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr &&
      what.find("missing") != std::string::npos) {
    return {fmt::format("{} needs a value", what.substr(0, what.find(':'))), std::nullopt};
  }
  // "--sign-key requires --sign-cert", "--quiet excludes --json"
  for (const auto& [word, text] : {std::pair{" requires ", "{} needs {} as well"},
                                   {" excludes ", "{} and {} cannot be given together"}}) {
    if (const std::size_t at = what.find(word); at != std::string::npos) {
      return {
          fmt::format(fmt::runtime(text), what.substr(0, at), what.substr(at + std::strlen(word))),
          std::nullopt};
    }
  }
  return {plain(what), std::nullopt};
}

Error usage_error(const CLI::ParseError& error, const Command::Data& root) {
  const CommandInfo command = describe(named(root));
  auto [reason, meant] = explain(error, root, command);
  if (meant) {
    reason += fmt::format("; did you mean '{}'?", *meant);
  }
  return {.code = Code::usage,
          .where = full_name(command, " "),
          .reason = std::move(reason),
          .remedy =
              fmt::format("{}   (more: {} --help)", usage_line(command), full_name(command, " "))};
}

Status check_paths(const Command::Data& command) {
  for (const auto& option : command.options) {
    if (!option->existing) {
      continue;
    }
    for (const std::string& path : option->option->results()) {
      std::error_code ec;
      if (!fs::exists(path, ec)) {
        return fail_errno(ec ? ec.value() : ENOENT, path, "open");
      }
    }
  }
  return {};
}

void add_help(Command::Data& command) {
  Option::Data* data = command.enter("-h,--help", "Show this help");
  data->option = command.app->set_help_flag("-h,--help");
}

// Makes the option take a time.
void as_duration(CLI::Option* option) {
  const std::map<std::string, double> units{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
  CLI::Validator number = CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE);
  const CLI::Validator positive(
      [](const std::string& value) {
        return std::atof(value.c_str()) > 0 ? std::string{} : "the time must be more than 0";
      },
      "");
  option->transform(number.description(""))->check(positive);
}

}  // namespace

const Option& Option::required() const {
  data_->option->required();
  data_->info.required = true;
  return *this;
}

const Option& Option::between(unsigned long low, unsigned long high) const {
  data_->option->check(CLI::Range(low, high));
  return *this;
}

const Option& Option::positive() const {
  data_->option->check(CLI::Validator(
      [](const std::string& value) {
        char* end = nullptr;
        const double number = std::strtod(value.c_str(), &end);
        return *end == '\0' && std::isfinite(number) && number > 0
                   ? std::string{}
                   : fmt::format("'{}' is no number above 0", value);
      },
      ""));
  return *this;
}

const Option& Option::not_empty() const {
  data_->option->check(CLI::Validator(
      [](const std::string& value) {
        return value.empty() ? std::string{"the value is empty"} : std::string{};
      },
      ""));
  return *this;
}

const Option& Option::existing() const {
  data_->existing = true;
  return *this;
}

const Option& Option::needs(const Option& other) const {
  data_->option->needs(other.data_->option);
  return *this;
}

const Option& Option::excludes(const Option& other) const {
  data_->option->excludes(other.data_->option);
  return *this;
}

const Option& Option::offers(Offered what) const {
  data_->info.offered = what;
  return *this;
}

const Option& Option::offers(std::vector<std::string> words) const {
  data_->info.values = std::move(words);
  return *this;
}

const Option& Option::text(std::string text) const {
  data_->info.text = std::move(text);
  return *this;
}

Command Command::add(const std::string& name, const std::string& text) const {
  Data* data = data_->commands.emplace_back(std::make_unique<Data>()).get();
  data->app = data_->app->add_subcommand(name);
  data->text = text;
  data->path = data_->path;
  data->path.push_back(name);
  // At most one command below this one, so that an argument may have the name of a command.
  data_->app->require_subcommand(0, 1);
  add_help(*data);
  return Command(data);
}

const Command& Command::hidden() const {
  data_->hidden = true;
  return *this;
}

const Command& Command::example(std::string line) const {
  data_->examples.push_back(std::move(line));
  return *this;
}

const Command& Command::section(ManualSection section) const {
  data_->sections.push_back(std::move(section));
  return *this;
}

Option Command::flag(const std::string& names, bool& to, const std::string& text) const {
  Option::Data* data = data_->enter(names, text);
  data->option = data_->app->add_flag(names, to);
  return Option(data);
}

Option Command::option(const std::string& names, std::string& to, const std::string& text) const {
  return Option(data_->take(names, to, text, "TEXT"));
}

Option Command::option(const std::string& names, fs::path& to, const std::string& text) const {
  return Option(data_->take(names, to, text, "PATH"));
}

Option Command::option(const std::string& names, std::vector<std::string>& to,
                       const std::string& text) const {
  return Option(data_->take(names, to, text, "TEXT"));
}

Option Command::option(const std::string& names, std::vector<fs::path>& to,
                       const std::string& text) const {
  return Option(data_->take(names, to, text, "PATH"));
}

Option Command::option(const std::string& names, unsigned& to, const std::string& text) const {
  return Option(data_->take(names, to, text, "N"));
}

Option Command::option(const std::string& names, std::optional<unsigned>& to,
                       const std::string& text) const {
  return Option(data_->take(names, to, text, "N"));
}

Option Command::option(const std::string& names, double& to, const std::string& text) const {
  return Option(data_->take(names, to, text, "SECONDS"));
}

Option Command::choice(const std::string& names, std::string& to,
                       const std::vector<std::string>& words, const std::string& text) const {
  Option::Data* data = data_->take(names, to, text, fmt::format("{}", fmt::join(words, "|")));
  data->info.values = words;
  data->option->check(CLI::Validator(
      [words](const std::string& value) {
        return std::ranges::find(words, value) != words.end()
                   ? std::string{}
                   : fmt::format("'{}' is none of {}", value, joined(words));
      },
      ""));
  return Option(data);
}

Option Command::duration(const std::string& names, double& to, const std::string& text) const {
  Option::Data* data = data_->take(names, to, text, "TIME");
  as_duration(data->option);
  return Option(data);
}

Option Command::duration(const std::string& names, std::optional<double>& to,
                         const std::string& text) const {
  Option::Data* data = data_->take(names, to, text, "TIME");
  as_duration(data->option);
  return Option(data);
}

void Command::on_run(std::function<void()> body) const { data_->body = std::move(body); }

CommandTree::CommandTree(const std::string& name, const std::string& text,
                         const std::string& footer)
    : root_(std::make_unique<Command::Data>()) {
  root_->root = std::make_unique<CLI::App>("", name);
  root_->app = root_->root.get();
  root_->path = {name};
  root_->text = text;
  root_->footer = footer;
  add_help(*root_);
  Option::Data* version = root_->enter("-V,--version", "Show the version");
  version->option = root_->app->set_version_flag("-V,--version", "");
}

CommandTree::~CommandTree() = default;

Command CommandTree::root() const { return Command(root_.get()); }

CommandInfo CommandTree::info() const { return describe(*root_); }

Result<CommandTree::Asked> CommandTree::run(int argc, char** argv) {
  Asked asked;
  try {
    root_->app->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    asked.help = true;
  } catch (const CLI::CallForVersion&) {
    asked.version = true;
  } catch (const CLI::ParseError& error) {
    return std::unexpected(usage_error(error, *root_));
  }
  const Command::Data& command = named(*root_);
  asked.command = describe(command);
  asked.help = asked.help || (!asked.version && !command.body);
  if (!asked.help && !asked.version) {
    TRY(check_paths(command));
    command.body();
  }
  return asked;
}

std::string full_name(const CommandInfo& command, const std::string& between) {
  return fmt::format("{}", fmt::join(command.path, between));
}

}  // namespace suture::cli
