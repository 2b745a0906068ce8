// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: manual pages that say something else than --help does.
// Method: walk over the very tree of commands that the command line is parsed with, and write each
// command's texts in the macros of man(7).
// Invariant: no text about a command stands here.
#include <fmt/format.h>

#include <memory>

#include "base/file.h"
#include "cli/command.h"
#include "cli/command_tree.h"

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

std::string positional(const CLI::Option* option) {
  std::string name = option->get_name(true, false);
  if (option->get_items_expected_max() > 1) {
    name += "...";
  }
  return option->get_required() ? name : "[" + name + "]";
}

std::string synopsis(const CLI::App* app) {
  std::string out = fmt::format(".B {}\n", escape(full_name(app, ' ')));
  if (!shown_commands(app).empty()) {
    return out + ".I COMMAND\n[\\fIOPTIONS\\fR]\n";
  }
  out += "[\\fIOPTIONS\\fR]\n";
  for (const CLI::Option* option : app->get_options()) {
    if (option->get_positional()) {
      out += escape(positional(option)) + "\n";
    }
  }
  return out;
}

std::string options(const CLI::App* app) {
  std::string out;
  for (const CLI::Option* option : app->get_options()) {
    std::string name =
        option->get_positional() ? option->get_name(true, false) : option->get_name(false, true);
    out += fmt::format(".TP\n\\fB{}\\fR", escape(name));
    if (!option->get_positional() && takes_value(option)) {
      out += fmt::format(" \\fI{}\\fR", escape(option->get_type_name()));
    }
    out += fmt::format("\n{}\n", escape(option->get_description()));
  }
  return out;
}

std::string commands_list(const CLI::App* app) {
  std::string out;
  for (const CLI::App* command : shown_commands(app)) {
    out += fmt::format(".TP\n\\fB{}\\fR(1)\n{}\n", escape(full_name(command, '-')),
                       escape(command->get_description()));
  }
  return out;
}

// The footer of --help, whose first words are the page's heading here.
std::string exit_status_text(std::string text) {
  constexpr std::string_view heading = "Exit status: ";
  return text.starts_with(heading) ? text.substr(heading.size()) : text;
}

std::string page(const CLI::App* app, const std::string& exit_status) {
  std::string out = fmt::format(".TH {} 1 \"\" \"Suture {}\" \"User Commands\"\n",
                                escape(full_name(app, '-')), SUTURE_VERSION);
  out += fmt::format(".SH NAME\n{} \\- {}\n", escape(full_name(app, '-')),
                     escape(app->get_description()));
  out += ".SH SYNOPSIS\n" + synopsis(app);
  if (std::string commands = commands_list(app); !commands.empty()) {
    out += ".SH COMMANDS\n" + commands;
  }
  out += ".SH OPTIONS\n" + options(app);
  out += fmt::format(".SH EXIT STATUS\n{}\n", escape(exit_status));
  if (const CLI::App* parent = app->get_parent()) {
    out += fmt::format(".SH SEE ALSO\n\\fB{}\\fR(1)\n", escape(full_name(parent, '-')));
  }
  return out;
}

Status write_pages(const CLI::App* app, const std::string& exit_status, const fs::path& directory) {
  TRY(write_file(directory / (full_name(app, '-') + ".1"), page(app, exit_status)));
  for (const CLI::App* command : shown_commands(app)) {
    TRY(write_pages(command, exit_status, directory));
  }
  return {};
}

}  // namespace

void register_man(Commands& commands) {
  auto directory = std::make_shared<fs::path>();
  CLI::App* command =
      commands.app().add_subcommand("man", "Write the manual pages of all commands");
  command->group("");  // for the build and for packagers
  command->add_option("-o,--output", *directory, "Directory for the pages")->required();
  commands.on_run(command, [directory, &commands]() -> Result<Report> {
    TRY(make_directories(*directory));
    TRY(write_pages(&commands.app(), exit_status_text(commands.app().get_footer()), *directory));
    return Report{.json = {{"directory", directory->string()}},
                  .text = fmt::format("the manual is in {}\n", directory->string())};
  });
}

}  // namespace suture::cli
