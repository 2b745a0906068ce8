// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: shells that complete other commands and options than the program has.
// Method: walk over the very tree of commands that the command line is parsed with, and write what
// bash, zsh and fish read. Each command gets one function (bash, zsh) or one condition (fish). For
// a value the words are offered that it may have, or the kernels in the cache; every other value is
// a file name. Commands are offered in the order of --help. Invariants: no text about a command
// stands here; the scripts start no program.
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

// What a command takes beside its options; nothing where it takes nothing.
const OptionInfo* argument(const CommandInfo& command) {
  for (const OptionInfo& option : command.options) {
    if (option.positional) {
      return &option;
    }
  }
  return nullptr;
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

// The function of the scripts that lists the values; empty where those are words or files.
std::string function_of(const OptionInfo& option) {
  switch (option.offered) {
    case Offered::kernels: return "_suture_kernels";
    case Offered::patches: return "_suture_patches";
    case Offered::files:
    case Offered::nothing: break;
  }
  return {};
}

// The arguments of compgen that give what is offered for a value.
std::string bash_words(const OptionInfo& option) {
  if (const std::string lists = function_of(option); !lists.empty()) {
    return fmt::format("-W \"$({})\"", lists);
  }
  if (option.offered == Offered::nothing) {
    return {};
  }
  return option.values.empty() ? "-f" : fmt::format("-W '{}'", spaced(option.values));
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
    with_value += fmt::format("        {}) COMPREPLY=($(compgen {} -- \"$word\")); return ;;\n",
                              pattern, bash_words(option));
  }
  std::string out = fmt::format("    '{}')\n", full_name(command, " "));
  if (!with_value.empty()) {
    out += "      case $before in\n" + with_value + "      esac\n";
  }
  const OptionInfo* taken = argument(command);
  out += fmt::format("      options='{}'; offered=({}) ;;\n", spaced(options),
                     !command.commands.empty()
                         ? fmt::format("-W '{}'", spaced(names(command.commands)))
                     : taken != nullptr ? bash_words(*taken)
                                        : "");
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
_suture_kernels() {{
  local kernel
  for kernel in "${{XDG_CACHE_HOME:-$HOME/.cache}}"/suture/kernels/*/; do
    [ ! -d "$kernel" ] || {{ kernel=${{kernel%/}}; printf '%s\n' "${{kernel##*/}}"; }}
  done
}}
_suture_patches() {{
  local patch
  for patch in /sys/kernel/livepatch/*/enabled /sys/kernel/suture/*/enabled; do
    [ ! -e "$patch" ] || {{ patch=${{patch%/enabled}}; printf '%s\n' "${{patch##*/}}"; }}
  done
}}
_suture() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
  local command=suture options= offered=() i
  local -A known=()
  for i in {}; do known[$i]=1; done
  for ((i = 1; i < COMP_CWORD; i++)); do
    [ -z "${{known["$command ${{COMP_WORDS[i]}}"]:-}}" ] || command="$command ${{COMP_WORDS[i]}}"
  done
  COMPREPLY=()
  case $command in
{}  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  elif [ ${{#offered[@]}} -gt 0 ]; then
    COMPREPLY=($(compgen "${{offered[@]}}" -- "$word"))
  fi
}}
complete -o filenames -o nosort -F _suture suture
)",
                     spaced(known), cases);
}

std::string zsh_action(const OptionInfo& option) {
  const std::string lists = function_of(option);
  return option.offered == Offered::nothing ? ":value: "
         : !lists.empty()                   ? ":name:" + lists
         : option.values.empty()            ? ":file:_files"
                                            : fmt::format(":value:({})", spaced(option.values));
}

std::string zsh_function(const CommandInfo& command) {
  std::string out = fmt::format("_{}() {{\n  local state\n  local -a commands\n  _arguments -C",
                                full_name(command, "_"));
  for (const OptionInfo& option : named_options(command)) {
    const std::string action = option.value.empty() ? "" : zsh_action(option);
    for (const std::string& spelled : option.names) {
      out +=
          fmt::format(" \\\n    '*{}[{}]{}'", spelled, within_quotes(option.text, "[]:"), action);
    }
  }
  const std::vector<CommandInfo>& below = command.commands;
  if (below.empty()) {
    const OptionInfo* taken = argument(command);
    return out + (taken == nullptr ? "" : fmt::format(" \\\n    '*{}'", zsh_action(*taken))) +
           "\n}\n";
  }
  out += " \\\n    '1: :->command' '*:: :->arguments'\n  case $state in\n    command) commands=(";
  std::string calls;
  for (const CommandInfo& it : below) {
    out += fmt::format("\n      '{}:{}'", it.path.back(), within_quotes(it.text, ":"));
    calls += fmt::format("      {}) _{} ;;\n", it.path.back(), full_name(it, "_"));
  }
  return out + fmt::format(
                   ")\n      _describe -V command commands ;;\n    arguments) case $words[1] in\n{}"
                   "      esac ;;\n  esac\n}}\n",
                   calls);
}

std::string zsh_script(const std::vector<CommandInfo>& commands) {
  std::string out = R"(#compdef suture
_suture_kernels() {
  local -a kernels
  kernels=("${XDG_CACHE_HOME:-$HOME/.cache}"/suture/kernels/*(N/:t))
  compadd -a kernels
}
_suture_patches() {
  local -a patches
  patches=(/sys/kernel/(livepatch|suture)/*/enabled(N:h:t))
  compadd -a patches
}
)";
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

std::string fish_words(const OptionInfo& option) {
  const std::string lists = function_of(option);
  return lists.empty() ? spaced(option.values) : "(" + lists + ")";
}

std::string fish_lines(const CommandInfo& command) {
  const std::string condition = fish_condition(command);
  std::string out;
  // What comes last stands first in fish's list.
  for (auto below = command.commands.rbegin(); below != command.commands.rend(); ++below) {
    out += fmt::format("complete -c suture -k -f -n '{}' -a {} -d '{}'\n", condition,
                       below->path.back(), within_quotes(below->text));
  }
  const OptionInfo* taken = argument(command);
  const std::string words = taken == nullptr ? "" : fish_words(*taken);
  if (command.commands.empty() &&
      (taken == nullptr || taken->offered != Offered::files || !words.empty())) {
    out += fmt::format("complete -c suture -f -n '{}'", condition);
    out += words.empty() ? "\n" : fmt::format(" -a '{}'\n", words);
  }
  for (const OptionInfo& option : named_options(command)) {
    out += fmt::format("complete -c suture -n '{}'", condition);
    for (const std::string& name : option.names) {
      out += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    }
    if (const std::string listed = fish_words(option); !listed.empty()) {
      out += fmt::format(" -x -a '{}'", listed);
    } else if (!option.value.empty()) {
      out += " -r";
    }
    out += fmt::format(" -d '{}'\n", within_quotes(option.text));
  }
  return out;
}

std::string fish_script(const std::vector<CommandInfo>& commands) {
  std::string out = R"(# fish completion for suture
function _suture_kernels
  set -l cache $HOME/.cache
  set -q XDG_CACHE_HOME; and set cache $XDG_CACHE_HOME
  for kernel in $cache/suture/kernels/*/
    string match --regex '[^/]+(?=/$)' -- $kernel
  end
end
function _suture_patches
  for patch in /sys/kernel/livepatch/*/enabled /sys/kernel/suture/*/enabled
    string match --regex '[^/]+(?=/enabled$)' -- $patch
  end
end
)";
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
