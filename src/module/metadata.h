// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a patch module says about itself. It lives in .modinfo as `suture.KEY=VALUE` strings, so
// that `modinfo` shows it too and stripping keeps it:
//   suture.format=1                      this layout
//   suture.patch=NAME  suture.version=N  the patch's name and version
//   suture.tool=VERSION                  the Suture that made it
//   suture.release=REL                   the kernel it is for
//   suture.object=NAME BUILD_ID          one per patched object ("vmlinux" first)
//   suture.func=OBJECT NAME SYMPOS SOURCE   one per redirected function
//   suture.new=OBJECT NAME SOURCE        one per new function
//   suture.diff=SHA256 FILE              one per source diff
//   suture.cve=CVE-...                   one per fixed vulnerability
//   suture.replace=0|1                   whether it takes over all earlier patches
//   suture.description=TEXT              one line
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "elf/object.h"

namespace suture::module {

struct PatchedFunction {
  std::string name;
  std::uint32_t sympos = 0;
  std::string source;   // "fs/proc/cmdline.c"
  bool is_new = false;  // new code, not a replacement
};

struct PatchedObject {
  std::string name;      // "vmlinux" or the module's name
  std::string build_id;  // lower-case hex, may be empty
  std::vector<PatchedFunction> functions;
};

struct SourceDiff {
  std::string sha256;
  std::string file;  // file name only
};

struct Metadata {
  bool ours = false;  // made by Suture
  std::string name;   // the module's name
  std::string version;
  std::string tool;
  std::string release;  // from suture.release, else the first word of vermagic
  std::string vermagic;
  std::string description;
  std::string build_id;  // the module's own
  bool livepatch = false;
  bool replace = false;
  std::vector<PatchedObject> objects;
  std::vector<SourceDiff> diffs;
  std::vector<std::string> cves;
  // What the kernel's livepatch core binds when it loads the module ("vmlinux:name,sympos").
  std::vector<std::string> klp_symbols;
  std::vector<std::string> imports;  // exported symbols, by name
};

// The strings to put into .modinfo.
std::vector<std::string> to_modinfo(const Metadata& metadata);

// Reads any module; for livepatch modules that Suture did not make, `objects` has what can be known
// from .klp.* names and from klp_func data. bad-module where it is no module.
Result<Metadata> read_metadata(const fs::path& module);
Result<Metadata> read_metadata(const elf::ObjectFile& object, const std::string& where);

}  // namespace suture::module
