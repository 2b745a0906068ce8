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
#include "cli/command_tree.h"

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

// Options as they are typed: "-k", "--kernel".
Words spellings(const CLI::Option* option) {
  Words out;
  for (const std::string& name : option->get_snames()) {
    out.push_back("-" + name);
  }
  for (const std::string& name : option->get_lnames()) {
    out.push_back("--" + name);
  }
  return out;
}

std::vector<const CLI::Option*> named_options(const CLI::App* app) {
  std::vector<const CLI::Option*> out;
  for (const CLI::Option* option : app->get_options()) {
    if (!option->get_positional() && !option->get_group().empty()) {
      out.push_back(option);
    }
  }
  return out;
}

// The values that the option's type lists: "TEXT:{stop,lazy,hybrid}"; where each stands for
// something
// ("{livepatch->0,suture->1}"), what is typed.
Words values(const CLI::Option* option) {
  const std::string type = option->get_type_name();
  const std::size_t open = type.find('{');
  const std::size_t close = type.find('}', open);
  Words out;
  if (open == std::string::npos || close == std::string::npos) {
    return out;
  }
  std::string word;
  for (std::size_t i = open + 1; i <= close; ++i) {
    if (type[i] == ',' || i == close) {
      out.push_back(word.substr(0, word.find("->")));
      word.clear();
    } else {
      word += type[i];
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

Words names(const std::vector<const CLI::App*>& commands) {
  Words out;
  for (const CLI::App* command : commands) {
    out.push_back(command->get_name());
  }
  return out;
}

// All shown commands, each after the one that it belongs to.
void collect(const CLI::App* app, std::vector<const CLI::App*>& out) {
  out.push_back(app);
  for (const CLI::App* command : shown_commands(app)) {
    collect(command, out);
  }
}

std::string bash_case(const CLI::App* app) {
  Words options;
  std::string with_value;
  for (const CLI::Option* option : named_options(app)) {
    const Words spelled = spellings(option);
    options.insert(options.end(), spelled.begin(), spelled.end());
    if (!takes_value(option)) {
      continue;
    }
    std::string pattern;
    for (const std::string& word : spelled) {
      pattern += (pattern.empty() ? "" : "|") + word;
    }
    const Words listed = values(option);
    with_value += fmt::format(
        "        {}) {}; return ;;\n", pattern,
        listed.empty()
            ? "COMPREPLY=($(compgen -f -- \"$word\"))"
            : fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$word\"))", spaced(listed)));
  }
  std::string out = fmt::format("    '{}')\n", full_name(app, ' '));
  if (!with_value.empty()) {
    out += "      case $before in\n" + with_value + "      esac\n";
  }
  out += fmt::format("      commands='{}'; options='{}' ;;\n", spaced(names(shown_commands(app))),
                     spaced(options));
  return out;
}

std::string bash_script(const std::vector<const CLI::App*>& commands) {
  Words known;
  std::string cases;
  for (const CLI::App* command : commands) {
    known.push_back(fmt::format("'{}'", full_name(command, ' ')));
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

std::string zsh_function(const CLI::App* app) {
  std::string out = fmt::format("_{}() {{\n  local state\n  local -a commands\n  _arguments -C",
                                full_name(app, '_'));
  for (const CLI::Option* option : named_options(app)) {
    const Words listed = values(option);
    const std::string action = !takes_value(option) ? ""
                               : listed.empty()     ? ":value:_files"
                                                    : fmt::format(":value:({})", spaced(listed));
    for (const std::string& spelled : spellings(option)) {
      out += fmt::format(" \\\n    '*{}[{}]{}'", spelled,
                         within_quotes(option->get_description(), "[]:"), action);
    }
  }
  const std::vector<const CLI::App*> below = shown_commands(app);
  if (below.empty()) {
    return out + " \\\n    '*:file:_files'\n}\n";
  }
  out += " \\\n    '1: :->command' '*:: :->arguments'\n  case $state in\n    command) commands=(";
  std::string calls;
  for (const CLI::App* command : below) {
    out += fmt::format("\n      '{}:{}'", command->get_name(),
                       within_quotes(command->get_description(), ":"));
    calls += fmt::format("      {}) _{} ;;\n", command->get_name(), full_name(command, '_'));
  }
  return out + fmt::format(
                   ")\n      _describe command commands ;;\n    arguments) case $words[1] in\n{}"
                   "      esac ;;\n  esac\n}}\n",
                   calls);
}

std::string zsh_script(const std::vector<const CLI::App*>& commands) {
  std::string out = "#compdef suture\n";
  for (const CLI::App* command : commands) {
    out += zsh_function(command);
  }
  return out + "_suture \"$@\"\n";
}

// When fish offers what belongs to the command: its words were typed, and none of a command below.
std::string fish_condition(const CLI::App* app) {
  const std::vector<const CLI::App*> below = shown_commands(app);
  std::string out;
  for (const CLI::App* it = app; it->get_parent() != nullptr; it = it->get_parent()) {
    out = fmt::format("__fish_seen_subcommand_from {}{}{}", it->get_name(),
                      out.empty() ? "" : "; and ", out);
  }
  if (!below.empty()) {
    out += fmt::format("{}not __fish_seen_subcommand_from {}", out.empty() ? "" : "; and ",
                       spaced(names(below)));
  }
  return out;
}

std::string fish_lines(const CLI::App* app) {
  const std::string condition = fish_condition(app);
  std::string out;
  for (const CLI::App* command : shown_commands(app)) {
    out += fmt::format("complete -c suture -f -n '{}' -a {} -d '{}'\n", condition,
                       command->get_name(), within_quotes(command->get_description()));
  }
  for (const CLI::Option* option : named_options(app)) {
    out += fmt::format("complete -c suture -n '{}'", condition);
    for (const std::string& name : option->get_snames()) {
      out += " -s " + name;
    }
    for (const std::string& name : option->get_lnames()) {
      out += " -l " + name;
    }
    if (const Words listed = values(option); !listed.empty()) {
      out += fmt::format(" -x -a '{}'", spaced(listed));
    } else if (takes_value(option)) {
      out += " -r";
    }
    out += fmt::format(" -d '{}'\n", within_quotes(option->get_description()));
  }
  return out;
}

std::string fish_script(const std::vector<const CLI::App*>& commands) {
  std::string out = "# fish completion for suture\n";
  for (const CLI::App* command : commands) {
    out += fish_lines(command);
  }
  return out;
}

}  // namespace

void register_completion(Commands& commands) {
  auto directory = std::make_shared<fs::path>();
  CLI::App* command = commands.app().add_subcommand(
      "completion", "Write what bash, zsh and fish need to complete commands and options");
  command->group("");  // for the build and for packagers
  command->add_option("-o,--output", *directory, "Directory for the three files")->required();
  commands.on_run(command, [directory, &commands]() -> Result<Report> {
    std::vector<const CLI::App*> all;
    collect(&commands.app(), all);
    TRY(make_directories(*directory));
    TRY(write_file(*directory / "suture.bash", bash_script(all)));
    TRY(write_file(*directory / "_suture", zsh_script(all)));
    TRY(write_file(*directory / "suture.fish", fish_script(all)));
    return Report{.json = {{"directory", directory->string()}},
                  .text = fmt::format("the completions are in {}\n", directory->string())};
  });
}

}  // namespace suture::cli
