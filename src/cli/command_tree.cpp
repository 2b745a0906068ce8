// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command_tree.h"

namespace suture::cli {

std::vector<const CLI::App*> shown_commands(const CLI::App* app) {
  std::vector<const CLI::App*> out;
  for (const CLI::App* command :
       app->get_subcommands([](const CLI::App* it) { return !it->get_group().empty(); })) {
    out.push_back(command);
  }
  return out;
}

std::string full_name(const CLI::App* app, char separator) {
  const CLI::App* parent = app->get_parent();
  return parent == nullptr ? app->get_name()
                           : full_name(parent, separator) + separator + app->get_name();
}

bool takes_value(const CLI::Option* option) { return option->get_type_size() != 0; }

}  // namespace suture::cli
