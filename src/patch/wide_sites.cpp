// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the assembler makes the jump of a static branch 2 bytes where its target is near, which
// is half of them. A module that asks a key of another module there (module/late_keys.h) needs 5.
//
// Method: the compiler looks first in a directory of ours, which has the kernel's own
// asm/jump_label.h but for the suffix that asks the assembler for the long form of those jumps. The
// compiler itself sees a statement of the same number of lines, so its code stays the same.
//
// Invariants: nothing in the tree is written; the directory's name holds the digest of what is in
// it, and what it holds never changes. A diff to the kernel's header itself is never built: more
// files include it than are looked at.
#include "patch/wide_sites.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/file.h"

namespace suture::patch {

Result<std::vector<std::string>> wide_site_options(const kernel::Kernel& kernel) {
  constexpr std::string_view any = "\"jmp %l[";
  constexpr std::string_view wide = "\"jmp.d32 %l[";
  std::string text = TRY(read_text(kernel.source / "arch/x86/include/asm/jump_label.h"));
  bool changed = false;
  for (std::size_t at = text.find(any); at != std::string::npos; at = text.find(any, at)) {
    text.replace(at, any.size(), wide);
    changed = true;
  }
  if (!changed) {
    return std::vector<std::string>{};
  }
  fs::path directory =
      kernel.derived / fmt::format("wide_sites-{}", sha256_hex(as_bytes(text)).substr(0, 12));
  fs::path header = directory / "asm" / "jump_label.h";
  if (!fs::exists(header)) {
    TRY(make_directories(header.parent_path()));
    TRY(write_file(header, text));
  }
  return std::vector<std::string>{fmt::format("-I{}", directory.string())};
}

}  // namespace suture::patch
