// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's own compile command of an object, asked of kbuild once and kept.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "kernel/kernel.h"

namespace suture::source {

struct CompileCommand {
  // As the command spells them: a file that belongs to a module of another directory is
  // "arch/x86/kvm/../../../virt/kvm/kvm_main.c", and __FILE__ shows it.
  std::string source;                 // "fs/proc/cmdline.c"
  std::string object;                 // "fs/proc/cmdline.o"
  std::vector<std::string> compiler;  // full argv as kbuild runs it, cwd is the tree's root; holds
                                      // "-c -o OBJECT SOURCE" and "-Wp,-MMD,..."
  std::vector<std::string> objtool;   // full argv without the object's path; empty where the
                                      // kernel runs none on this object
  bool is_module = false;             // -DMODULE
  std::string module_name;            // KBUILD_MODNAME where is_module, else empty

  // The source's path from the tree's root, however the command spells it.
  std::string path() const;
};

// Asks kbuild (make -n) the first time and keeps the answers in kernel.derived; asking about many
// at once is cheaper by far. One answer for each source, in their order: not-in-kernel where kbuild
// has no rule for it.
Result<std::vector<Result<CompileCommand>>> compile_commands(
    const kernel::Kernel& kernel, const std::vector<std::string>& sources);

// Splits a command line of kbuild's (a .cmd file, make -n) into words, with the shell's rules for
// quotes and backslashes. bad-diff never; a line with an unfinished quote is child-failed.
Result<std::vector<std::string>> split_words(std::string_view line);

// The shell line that a .cmd file keeps ("cmd_OBJECT := LINE", from 6.5 on "savedcmd_OBJECT"), with
// make's escapes undone (scripts/Kbuild.include, make-cmd); empty where the text is none.
std::string kept_line(std::string_view cmd_file);

}  // namespace suture::source
