// SPDX-License-Identifier: GPL-2.0-or-later
//
// Checks that are the same for the kernel that runs and for one in files.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "check/checks.h"

namespace suture::check {

// A symbol that a core looks up by name and position; 0 where the name must be unique.
struct Wanted {
  std::string object;
  std::string name;
  std::uint32_t sympos = 0;
};

// The functions that the patch replaces, and what else it binds.
std::vector<Wanted> wanted_symbols(const module::Metadata& metadata);

Check form_check(const module::Metadata& metadata);
// Whether its module can be freed when it has been taken back.
Check removal_check(const module::Metadata& metadata);
Check release_check(const std::string& release, const module::Metadata& metadata);
// `count` says how often the object has the name.
Check symbols_check(
    const std::vector<Wanted>& wanted, const std::function<bool(const std::string& object)>& there,
    const std::function<std::uint32_t(const std::string& object, const std::string& name)>& count);

// ok, with that detail, where nothing is wrong; else failed, with the first few that are.
Check verdict_on(std::string id, const std::vector<std::string>& wrong, const std::string& ok,
                 std::string remedy);

}  // namespace suture::check
