// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: shells that complete other commands and options than the program has.
// Method: walk over the very tree of commands that the command line is parsed with, and write what
// bash, zsh and fish read. Each command gets one function (bash, zsh) or one condition (fish); what
// an option's type lists in braces is offered as its value, and every other value is a file name.
// Invariants: no text about a command stands here; the scripts start no program.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "cli/command.h"

namespace suture::cli {

namespace {

using Words = std::vector<std::string>;

std::string spaced(const Words& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

std::vector<OptionInfo> named_options(const CommandInfo& command) {
  std::vector<OptionInfo> out;
  for (const OptionInfo& option : command.options) {
    if (!option.positional) {
      out.push_back(option);
    }
  }
  return out;
}

// Text between single quotes of sh, zsh and fish alike. One line.
std::string within_quotes(std::string_view text, std::string_view also_escaped = {}) {
  std::string out;
  for (char c : text) {
    if (c == '\'') {
      out += "’";
    } else if (c == '\n') {
      out += ' ';
    } else {
      if (c == '\\' || also_escaped.contains(c)) {
        out += '\\';
      }
      out += c;
    }
  }
  return out;
}

Words names(const std::vector<CommandInfo>& commands) {
  Words out;
  for (const CommandInfo& command : commands) {
    out.push_back(command.path.back());
  }
  return out;
}

// All shown commands, each after the one that it belongs to.
void collect(const CommandInfo& command, std::vector<CommandInfo>& out) {
  out.push_back(command);
  for (const CommandInfo& below : command.commands) {
    collect(below, out);
  }
}

std::string bash_case(const CommandInfo& command) {
  Words options;
  std::string with_value;
  for (const OptionInfo& option : named_options(command)) {
    const Words& spelled = option.names;
    options.insert(options.end(), spelled.begin(), spelled.end());
    if (option.value.empty()) {
      continue;
    }
    std::string pattern;
    for (const std::string& word : spelled) {
      pattern += (pattern.empty() ? "" : "|") + word;
    }
    const Words& listed = option.values;
    with_value += fmt::format(
        "        {}) {}; return ;;\n", pattern,
        listed.empty()
            ? "COMPREPLY=($(compgen -f -- \"$word\"))"
            : fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", spaced(listed)));
  }
  std::string out = fmt::format("    '{}')\n", full_name(command, " "));
  if (!with_value.empty()) {
    out += "      case $before in\n" + with_value + "      esac\n";
  }
  out += fmt::format("      commands='{}'; options='{}' ;;\n", spaced(names(command.commands)),
                     spaced(options));
  return out;
}

std::string bash_script(const std::vector<CommandInfo>& commands) {
  Words known;
  std::string cases;
  for (const CommandInfo& command : commands) {
    known.push_back(fmt::format("'{}'", full_name(command, " ")));
    cases += bash_case(command);
  }
  return fmt::format(R"(# bash completion for suture
_suture() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  local command=suture commands= options= i
  local -A known=()
  for i in {}; do known[$i]=1; done
  for ((i = 1; i < COMP_CWORD; i++)); do
    [ -z "${{known["$command ${{COMP_WORDS[i]}}"]:-}}" ] || command="$command ${{COMP_WORDS[i]}}"
  done
  COMPREPLY=()
  case $command in
{}  esac
  if [ -n "$commands" ]; then
    COMPREPLY=($(compgen -W "$commands $options" -- "$word"))
  elif [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    COMPREPLY=($(compgen -f -- "$word"))
  fi
}}
complete -o filenames -F _suture suture
)",
                     spaced(known), cases);
}

std::string zsh_function(const CommandInfo& command) {
  std::string out = fmt::format("_{}() {{\n  local state\n  local -a commands\n  _arguments -C",
                                full_name(command, "_"));
  for (const OptionInfo& option : named_options(command)) {
    const Words& listed = option.values;
    const std::string action = option.value.empty() ? ""
                               : listed.empty()     ? ":value:_files"
                                                    : fmt::format(":value:({})", spaced(listed));
    for (const std::string& spelled : option.names) {
      out +=
          fmt::format(" \\\n    '*{}[{}]{}'", spelled, within_quotes(option.text, "[]:"), action);
    }
  }
  const std::vector<CommandInfo>& below = command.commands;
  if (below.empty()) {
    return out + " \\\n    '*:file:_files'\n}\n";
  }
  out += " \\\n    '1: :->command' '*:: :->arguments'\n  case $state in\n    command) commands=(";
  std::string calls;
  for (const CommandInfo& it : below) {
    out += fmt::format("\n      '{}:{}'", it.path.back(), within_quotes(it.text, ":"));
    calls += fmt::format("      {}) _{} ;;\n", it.path.back(), full_name(it, "_"));
  }
  return out + fmt::format(
                   ")\n      _describe command commands ;;\n    arguments) case $words[1] in\n{}"
                   "      esac ;;\n  esac\n}}\n",
                   calls);
}

std::string zsh_script(const std::vector<CommandInfo>& commands) {
  std::string out = "#compdef suture\n";
  for (const CommandInfo& command : commands) {
    out += zsh_function(command);
  }
  return out + "_suture \"$@\"\n";
}

// When fish offers what belongs to the command: its words were typed, and none of a command below.
std::string fish_condition(const CommandInfo& command) {
  const std::vector<CommandInfo>& below = command.commands;
  std::string out;
  for (std::size_t i = command.path.size(); i-- > 1;) {
    out = fmt::format("__fish_seen_subcommand_from {}{}{}", command.path[i],
                      out.empty() ? "" : "; and ", out);
  }
  if (!below.empty()) {
    out += fmt::format("{}not __fish_seen_subcommand_from {}", out.empty() ? "" : "; and ",
                       spaced(names(below)));
  }
  return out;
}

std::string fish_lines(const CommandInfo& command) {
  const std::string condition = fish_condition(command);
  std::string out;
  for (const CommandInfo& below : command.commands) {
    out += fmt::format("complete -c suture -f -n '{}' -a {} -d '{}'\n", condition,
                       below.path.back(), within_quotes(below.text));
  }
  for (const OptionInfo& option : named_options(command)) {
    out += fmt::format("complete -c suture -n '{}'", condition);
    for (const std::string& name : option.names) {
      out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (const Words& listed = option.values; !listed.empty()) {
      out += fmt::format(" -x -a '{}'", spaced(listed));
    } else if (!option.value.empty()) {
      out += " -r";
    }
    out += fmt::format(" -d '{}'\n", within_quotes(option.text));
  }
  return out;
}

std::string fish_script(const std::vector<CommandInfo>& commands) {
  std::string out = "# fish completion for suture\n";
  for (const CommandInfo& command : commands) {
    out += fish_lines(command);
  }
  return out;
}

}  // namespace

void register_completion(Commands& commands) {
  auto directory = std::make_shared<fs::path>();
  const Command command = commands.add(
      "completion", "Write what bash, zsh and fish need to complete commands and options");
  command.hidden();  // for the build and for packagers
  command.option("-o,--output DIR", *directory, "Directory for the three files").required();
  commands.on_run(command, [directory, &commands]() -> Result<Report> {
    std::vector<CommandInfo> all;
    collect(commands.info(), all);
    TRY(make_directories(*directory));
    TRY(write_file(*directory / "suture.bash", bash_script(all)));
    TRY(write_file(*directory / "_suture", zsh_script(all)));
    TRY(write_file(*directory / "suture.fish", fish_script(all)));
    return Report{.json = {{"directory", directory->string()}},
                  .text = fmt::format("the completions are in {}\n", directory->string())};
  });
}

}  // namespace suture::cli
