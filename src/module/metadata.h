// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a patch module says about itself, as `suture.KEY=VALUE` strings. They stand in .modinfo,
// where `modinfo` shows them and stripping keeps them, and in the note .note.suture (owner
// "Suture", type 1, contents NUL-terminated strings): the kernel frees .modinfo once a module is
// loaded, but shows its notes in /sys/module/NAME/notes (kernel/module/sysfs.c).
//   suture.format=1                      this layout
//   suture.patch=NAME  suture.version=N  the patch's name and version
//   suture.tool=VERSION                  the Suture that made it
//   suture.release=REL                   the kernel it is for
//   suture.core=suture                   for Suture's own core; not there: for the kernel's
//   livepatch suture.object=NAME BUILD_ID          one per patched object ("vmlinux" first)
//   suture.func=OBJECT NAME SYMPOS SOURCE   one per redirected function
//   suture.new=OBJECT NAME SOURCE        one per new function
//   suture.diff=SHA256 FILE              one per source diff
//   suture.cve=CVE-...                   one per fixed vulnerability
//   suture.core=livepatch|suture         what redirects functions and runs the transition
//   suture.replace=0|1                   whether it takes over all earlier patches
//   suture.state=ID VERSION              one per system state that it modifies, decimal
//   suture.callback=OBJECT KIND NAME SOURCE   one per callback; KIND is pre_patch, ...
//   suture.ignored=SOURCE NAME REASON    what the author answers for instead of Suture
//   suture.taken_back=SOURCE NAME REASON what nobody uses after the patch, by the author's word
//   suture.pinned=SOURCE NAME BY         what others may still use when the patch is off, and the
//                                        function of the patch that hands it out: the module stays
//                                        in memory (escapes.h)
//   suture.description=TEXT              one line
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "elf/object.h"

namespace suture::module {

// What redirects functions and runs the transition: the kernel's own livepatch, or suture.ko.
enum class Core : std::uint8_t { livepatch, suture };
std::string_view core_name(Core core);

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

// Documentation/livepatch/system-state.rst
struct SystemState {
  std::uint64_t id = 0;  // never 0
  std::uint32_t version = 0;
};

struct Callback {
  std::string object;
  std::string kind;  // pre_patch, post_patch, pre_unpatch or post_unpatch
  std::string function;
  std::string source;
};

struct Ignored {
  std::string source;
  std::string name;  // of the function or variable
  std::string reason;
};

// Others may use it after the patch has been taken back: its module can never be freed.
struct Pin {
  std::string source;  // of `by`
  std::string name;    // of a function or variable that the patch adds
  std::string by;      // the function, or the data, by which its address gets out
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
  std::string build_id;    // the module's own
  bool livepatch = false;  // a patch for the kernel's livepatch core
  Core core = Core::livepatch;
  bool replace = false;
  std::vector<PatchedObject> objects;
  std::vector<SourceDiff> diffs;
  std::vector<std::string> cves;
  std::vector<SystemState> states;
  std::vector<Callback> callbacks;
  std::vector<Ignored> ignored;
  std::vector<Ignored> taken_back;  // what would be pinned but for the author's word
  std::vector<Pin> pinned;  // not empty: its module stays in memory when it has been taken back
  // What the core binds ("vmlinux:name,sympos").
  std::vector<std::string> core_symbols;
  std::vector<std::string> imports;  // exported symbols, by name

  bool is_patch() const { return livepatch || core == Core::suture; }
};

// Behind the name of each function in the module that takes the place of a running one: who traces
// by name would otherwise meet two functions of that name.
inline constexpr std::string_view patched_suffix = ".patched";

inline constexpr std::string_view note_section = ".note.suture";
inline constexpr std::string_view note_owner = "Suture";
inline constexpr std::uint32_t note_type = 1;

// "new_fn (by schedule_it in net/core/sock.c), ...", for people; at most a few of them.
std::string describe(const std::vector<Pin>& pins);

// The strings to put into .modinfo.
std::vector<std::string> to_modinfo(const Metadata& metadata);
// The section .note.suture.
Bytes to_note(const Metadata& metadata);
// What it says, or nothing where it is no such note. Its name is what suture.patch says.
std::optional<Metadata> parse_note(ByteView section);

// Reads any module; for livepatch modules that Suture did not make, `objects` has what can be known
// from .klp.* names and from klp_func data. bad-module where it is no module.
Result<Metadata> read_metadata(const fs::path& module);
Result<Metadata> read_metadata(const elf::ObjectFile& object, const std::string& where);

}  // namespace suture::module
