// SPDX-License-Identifier: GPL-2.0-or-later
//
// What `make -n` of a whole kernel says: which objects it is made of, how they are compiled, and
// which files are generated on the way.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "kernel/unit_list.h"

namespace suture::kernel {

class DryRun {
 public:
  // Takes the next line of the output. child-failed where a compile command ends inside quotes.
  Status take(std::string_view line);

  // The objects for the kernel, each with the modules that it is a part of, and their words.
  std::vector<Unit> units() const;
  const WordLists& lists() const { return lists_; }
  // Every C file, header and assembly file that a recipe names or compiles, from the tree's root.
  // What of it is not there is generated.
  const std::set<std::string>& files() const { return files_; }
  // For every other word of these recipes that may be a file: what the recipe makes, as far as it
  // says so.
  const std::map<std::string, std::string>& inputs() const { return inputs_; }

 private:
  Status take_compile(std::string_view line);
  void take_module(std::string_view line);
  void take_files(std::string_view line);

  WordLists lists_;
  std::map<std::string, Unit> units_;                        // by the object's normal path
  std::map<std::string, std::vector<std::string>> members_;  // module's name: objects' normal paths
  std::set<std::string> files_;
  std::map<std::string, std::string> inputs_;
};

}  // namespace suture::kernel
