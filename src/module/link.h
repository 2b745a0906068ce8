// SPDX-License-Identifier: GPL-2.0-or-later
//
// The module writer: from the chosen pieces of post objects to one patch module (ET_REL), for the
// kernel's own livepatch core (Documentation/livepatch/module-elf-format.rst) or for Suture's
// (kmod/include/suture_patch.h).
#pragma once

#include <string>
#include <vector>

#include "diff/diff.h"
#include "elf/writer.h"
#include "module/bind.h"
#include "module/glue.h"
#include "module/metadata.h"

namespace suture::module {

// One compiled source file's share of the patch.
struct LinkInput {
  std::string source;    // "fs/proc/cmdline.c"
  std::string build_id;  // of the object that runs it
  const diff::Side* post = nullptr;
  const diff::ObjectDiff* diff = nullptr;
  const Binder* binder = nullptr;
  diff::OutsideFate outside = {};  // of functions that the file calls; empty: nothing is known
  std::size_t file = 0;            // its number, as diff::Origin has it
};

// The kernel and the core that a module is written for.
struct LinkTarget {
  const Glue& glue;  // that core's
  const kernel::Symvers& symvers;
  const kernel::Symvers* core_exports = nullptr;  // of suture.ko; null for livepatch
  std::uint64_t image_text = 0;                   // the address of _text in the image
  std::string image_build_id;                     // of the image, lower-case hex, may be empty
};

struct Linked {
  Bytes module;
  Metadata metadata;  // with objects, functions, pins, symbols filled in
};

// `metadata` carries name, version, description, diffs, cves, release, core, replace, states,
// ignored.
// Errors: symbol-unresolved, symbol-ambiguous, module-static-key, special-section, bad-manifest.
Result<Linked> link(const std::vector<LinkInput>& inputs, const LinkTarget& target,
                    Metadata metadata);

}  // namespace suture::module
