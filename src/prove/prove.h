// SPDX-License-Identifier: GPL-2.0-or-later
//
// The proof of a patch module: a reader of its own, which shares no code with the writer but
// src/elf, loads the finished module in memory as the kernel would, and shows that it means what
// the compiled sources mean.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "prove/running.h"
#include "prove/tables.h"
#include "prove/tree_index.h"

namespace suture::prove {

// One compiled file, before and after.
struct Unit {
  std::string source;  // "fs/proc/cmdline.c"
  std::string object;  // what runs it: "vmlinux" or a module
  const elf::ObjectFile* pre = nullptr;
  const elf::ObjectFile* post = nullptr;
  // Where matching found what pre defines, by symbol number, and what it only names. What is not
  // here is looked up by its name, which must be one thing's alone.
  std::map<std::uint32_t, RunPlace> defined;
  std::map<std::string, RunPlace, std::less<>> undefined;
  // What the manifest leaves as it runs: names and reasons. What post itself says, the proof reads.
  std::vector<std::pair<std::string, std::string>> ignored;
};

// What the diff is, and what it was made against; `index` must outlive it.
struct Scope {
  struct File {
    std::string path;           // from the tree's root
    std::string before, after;  // empty where there is no such file
  };
  std::vector<File> files;
  std::vector<std::string> absent;  // sources that are said to be no part of this kernel
  fs::path tree;
  Configuration configuration;
  const TreeIndex* index = nullptr;
};

// What the proof is about, besides the module; all of it must outlive the call.
struct Case {
  std::vector<Unit> units;
  const kernel::Image* image = nullptr;
  std::span<const kernel::ImageExport> exports;  // sorted by name
  const kernel::Symvers* symvers = nullptr;
  ModuleFinder find_module;
  // What Suture's core exports, of a module for it; null for one for the kernel's livepatch.
  const kernel::Symvers* core_exports = nullptr;
  const elf::ObjectFile* glue = nullptr;  // the compiled part that all patches have alike
  const Constants* constants = nullptr;
  const Scope* scope = nullptr;  // null where no diff of a kernel is known
};

struct Proof {
  bool loads = false;  // the kernel would take it
  std::size_t redirects = 0;
  std::size_t functions = 0;        // in the module, parts of functions included
  std::size_t variables = 0;        // in the module
  std::size_t references = 0;       // fields that point where post's mean
  std::size_t entries = 0;          // of tables about code, rows for unwinding included
  std::size_t compared = 0;         // parts of pre and post
  std::vector<std::string> unseen;  // what was not looked at, for people
  std::vector<Error> accusations;   // proof-failed, each; none: it is proven
};

// Never fails as a whole: what cannot be read or understood is an accusation.
Proof prove(Bytes module, const Case& about);

}  // namespace suture::prove
