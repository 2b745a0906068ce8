// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: manual pages that say something else than --help does.
// Method: walk over the very tree of commands that the command line is parsed with, and write each
// command's texts in the macros of man(7).
// Invariant: no text about a command stands here.
#include <fmt/format.h>

#include <memory>
#include <span>

#include "base/file.h"
#include "cli/command.h"
#include "cli/help.h"

namespace suture::cli {

namespace {

// What troff would take for its own: backslashes, hyphens (which it would set as typographic ones),
// and a dot or quote that begins a line.
std::string escape(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (char c : text) {
    if (at_start && (c == '.' || c == '\'')) {
      out += "\\&";
    }
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    at_start = c == '\n';
  }
  return out;
}

std::string synopsis(const CommandInfo& command) {
  std::string out = fmt::format(".B {}\n", escape(full_name(command, " ")));
  if (!command.commands.empty()) {
    return out + ".I COMMAND\n[\\fIOPTIONS\\fR]\n";
  }
  out += "[\\fIOPTIONS\\fR]\n";
  for (const OptionInfo& option : command.options) {
    if (option.positional) {
      out += escape(argument_text(option)) + "\n";
    }
  }
  return out;
}

std::string options(const CommandInfo& command) {
  std::string out;
  for (const OptionInfo& option : command.options) {
    out += fmt::format(".TP\n\\fB{}\\fR", escape(fmt::format("{}", fmt::join(option.names, ", "))));
    if (!option.value.empty()) {
      out += fmt::format(" \\fI{}\\fR", escape(option.value));
    }
    out += fmt::format("\n{}\n", escape(option.text));
  }
  return out;
}

std::string commands_list(const CommandInfo& command) {
  std::string out;
  for (const CommandInfo& below : command.commands) {
    out +=
        fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", escape(full_name(below, "-")), escape(below.text));
  }
  return out;
}

std::string sections(const CommandInfo& command) {
  std::string out;
  for (const ManualSection& section : command.sections) {
    out += fmt::format(".SH {}\n", section.heading);
    for (const auto& [name, text] : section.entries) {
      out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", escape(name), escape(text));
    }
  }
  return out;
}

// As they are typed, each on a line of its own.
std::string examples(const CommandInfo& command) {
  if (command.examples.empty()) {
    return {};
  }
  std::string out = ".SH EXAMPLES\n.nf\n";
  for (const std::string& line : command.examples) {
    out += escape(line) + "\n";
  }
  return out + ".fi\n";
}

// The footer of --help, whose first words are the page's heading here.
std::string exit_status_text(std::string text) {
  constexpr std::string_view heading = "Exit status: ";
  return text.starts_with(heading) ? text.substr(heading.size()) : text;
}

std::string page(const CommandInfo& command, const std::string& exit_status) {
  const std::string name = escape(full_name(command, "-"));
  std::string out =
      fmt::format(".TH {} 1 \"\" \"Suture {}\" \"User Commands\"\n", name, SUTURE_VERSION);
  out += fmt::format(".SH NAME\n{} \\- {}\n", name, escape(command.text));
  out += ".SH SYNOPSIS\n" + synopsis(command);
  if (std::string commands = commands_list(command); !commands.empty()) {
    out += ".SH COMMANDS\n" + commands;
  }
  out += ".SH OPTIONS\n" + options(command);
  out += sections(command);
  out += fmt::format(".SH EXIT STATUS\n{}\n", escape(exit_status));
  out += examples(command);
  if (command.path.size() > 1) {
    const std::span above(command.path.data(), command.path.size() - 1);
    out += fmt::format(".SH SEE ALSO\n\\fB{}\\fR(1)\n",
                       escape(fmt::format("{}", fmt::join(above, "-"))));
  }
  return out;
}

Status write_pages(const CommandInfo& command, const std::string& exit_status,
                   const fs::path& directory) {
  TRY(write_file(directory / (full_name(command, "-") + ".1"), page(command, exit_status)));
  for (const CommandInfo& below : command.commands) {
    TRY(write_pages(below, exit_status, directory));
  }
  return {};
}

}  // namespace

void register_man(Commands& commands) {
  auto directory = std::make_shared<fs::path>();
  const Command command = commands.add("man", "Write the manual pages of all commands");
  command.hidden();  // for the build and for packagers
  command.option("-o,--output DIR", *directory, "Directory for the pages").required();
  commands.on_run(command, [directory, &commands]() -> Result<Report> {
    TRY(make_directories(*directory));
    const CommandInfo all = commands.info();
    TRY(write_pages(all, exit_status_text(all.footer), *directory));
    return Report{.json = {{"directory", directory->string()}},
                  .text = fmt::format("the manual is in {}\n", directory->string())};
  });
}

}  // namespace suture::cli
