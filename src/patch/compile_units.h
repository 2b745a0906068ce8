// SPDX-License-Identifier: GPL-2.0-or-later
//
// From changed files to compiled objects: which compile units a diff touches, and their pre and
// post objects.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "kernel/kernel.h"
#include "patch/post_cache.h"
#include "patch/shadow_tree.h"
#include "source/compile.h"
#include "source/patch.h"

namespace suture::patch {

// A .c file that kbuild compiles, because it changed or because it #includes one that did.
struct Unit {
  source::CompileCommand command;
  fs::path pre;  // object files, after objtool
  fs::path post;
  fs::path dependencies;  // of post, as the compiler wrote them for make
  bool pre_cached = false;
  bool post_cached = false;
  std::string post_key;  // of the command that makes post
  bool types = false;    // the diff may change types: both objects state theirs in .BTF
};

struct Touched {
  std::vector<std::string> sources;  // that the diff names and units compile, sorted
  std::vector<std::string> headers;  // changed headers, and what else others may include; sorted
  std::vector<std::string> ignored;  // changed files that are no kernel code (documentation, ...)
};

// unsupported-file for what cannot be built, with what the kernel's code gets from it;
// not-in-kernel for a source that is no part of any unit. Files that no code comes from are
// `ignored`.
Result<Touched> touched_units(const std::vector<source::ChangedFile>& files,
                              const kernel::Units& units, const fs::path& tree);

// Whether the diff may change types that other files than its own see; and which of its own may.
struct TypeChanges {
  bool everywhere = false;
  std::set<std::string> sources;
  bool in(const std::string& path) const { return everywhere || sources.contains(path); }
};
TypeChanges type_changes(const std::vector<source::ChangedFile>& files, const Touched& touched);

// Where a build works: `shadow` looks like the patched tree, objects are put into `objects`.
struct WorkPlace {
  fs::path shadow;
  fs::path objects;
};
TreePaths tree_paths(const kernel::Kernel& kernel, const WorkPlace& place);

// kbuild's command without what makes an object of it and what it writes for make.
std::vector<std::string> options_of(const source::CompileCommand& command);

// Which files of the tree are programs of their own that are built along with the kernel: it never
// runs their code, or maps it into processes as a whole.
bool is_other_program(std::string_view path);

// Whether changes of that file never reach the kernel's code (documentation, programs beside it).
bool is_not_code(std::string_view path);

struct Compiled {
  std::vector<Unit> units;      // of which both sides compiled
  std::vector<Error> failures;  // why the others did not: does-not-compile, in the compiler's words
};

// Compiles pre and post of every unit, unless they are kept from an earlier build, as many at a
// time as there are processors. What compiles is kept whatever becomes of the rest. Where a patched
// file does not compile, `files` are put into the shadow as they are, without what keeps their line
// numbers, so that the compiler names their own lines.
Result<Compiled> compile_units(const kernel::Kernel& kernel,
                               const std::vector<source::ChangedFile>& files,
                               std::vector<source::CompileCommand> commands,
                               const TypeChanges& types, const WorkPlace& place,
                               const PostCache& posts, const kernel::Progress& progress);

}  // namespace suture::patch
