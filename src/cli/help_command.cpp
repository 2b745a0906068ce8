// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/help.h"

namespace suture::cli {

namespace {

std::vector<std::string> names_below(const CommandInfo& command) {
  std::vector<std::string> out;
  for (const CommandInfo& below : command.commands) {
    out.push_back(below.path.back());
  }
  return out;
}

// The command that the words name, from the whole tree down.
Result<CommandInfo> find_command(CommandInfo command, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    const std::vector<std::string> names = names_below(command);
    const auto at = std::ranges::find(names, word);
    if (at == names.end()) {
      const std::string where = full_name(command, " ");
      const auto meant = nearest(word, names);
      return fail(Code::usage, where,
                  fmt::format("there is no command '{} {}'{}", where, word,
                              meant ? fmt::format("; did you mean '{} {}'?", where, *meant) : ""),
                  fmt::format("{} --help", where));
    }
    command = CommandInfo(command.commands[static_cast<std::size_t>(at - names.begin())]);
  }
  return command;
}

}  // namespace

void register_help(Commands& commands) {
  auto words = std::make_shared<std::vector<std::string>>();
  const Command command = commands.add("help", "Show the help of a command");
  command.option("COMMAND", *words, "The command, e.g. `kernel add` (default: all)")
      .offers(names_below(commands.info()));
  commands.on_run(command, [words, &commands]() -> Result<Report> {
    const std::string text = help_text(TRY(find_command(commands.info(), *words)));
    return Report{.json = {{"help", text}}, .text = text};
  });
}

}  // namespace suture::cli
