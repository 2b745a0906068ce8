// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/help.h"

#include <fmt/format.h>

#include "cli/text.h"

namespace suture::cli {

namespace {

constexpr std::size_t text_column = 26;

// "  -k, --kernel REL        Text", with the text below where the names are too long.
std::string entry(const std::string& names, const std::string& text, std::size_t width) {
  std::string out = "  " + names;
  out += columns(out) + 2 > text_column ? "\n" + std::string(text_column, ' ')
                                        : std::string(text_column - columns(out), ' ');
  return out + filled(text, width, text_column) + '\n';
}

std::string option_names(const OptionInfo& option) {
  const bool has_short = option.names.front().size() == 2;
  std::string out = has_short ? "" : "    ";
  out += fmt::format("{}", fmt::join(option.names, ", "));
  return option.value.empty() ? out : out + " " + option.value;
}

}  // namespace

std::string argument_text(const OptionInfo& argument) {
  const std::string name = argument.names.front() + (argument.many ? "..." : "");
  return argument.required ? name : "[" + name + "]";
}

std::string usage_line(const CommandInfo& command) {
  std::string out = full_name(command, " ");
  if (!command.commands.empty()) {
    return out + " COMMAND [OPTIONS]";
  }
  out += " [OPTIONS]";
  for (const OptionInfo& option : command.options) {
    if (option.positional) {
      out += " " + argument_text(option);
    }
  }
  return out;
}

std::string help_text(const CommandInfo& command, std::size_t width) {
  std::string arguments, options, commands;
  for (const OptionInfo& option : command.options) {
    (option.positional ? arguments : options) +=
        entry(option.positional ? argument_text(option) : option_names(option), option.text, width);
  }
  for (const CommandInfo& it : command.commands) {
    commands += entry(it.path.back(), it.text, width);
  }
  std::string out =
      filled(command.text, width) + "\n\nUsage: " + filled(usage_line(command), width, 7) + "\n";
  const auto section = [&](std::string_view heading, const std::string& entries) {
    if (!entries.empty()) {
      out += fmt::format("\n{}:\n{}", heading, entries);
    }
  };
  section("Arguments", arguments);
  section("Commands", commands);
  section("Options", options);
  std::string examples;
  for (const std::string& line : command.examples) {
    examples += "  " + line + "\n";
  }
  section("Examples", examples);
  if (!command.footer.empty()) {
    out += "\n" + filled(command.footer, width) + "\n";
  }
  return out;
}

}  // namespace suture::cli
