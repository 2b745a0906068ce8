// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the sections of variables mean, as of include/asm-generic/vmlinux.lds.h and
// arch/x86/kernel/vmlinux.lds.S. In a module, the alignment of .data..page_aligned and
// .bss..page_aligned holds, the loader knows .data..ro_after_init, the writer merges per-CPU data,
// and .data..read_mostly, .data.once and the like are mere hints.
#include "diff/data_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace suture::diff {

namespace {

struct Meaning {
  std::string_view sign;  // the section's name starts with it, or has it after two dots
  std::string_view what;
  std::string_view remedy;
};

constexpr std::string_view nosave =
    "hibernation leaves that part of the image out, and not a module's memory: the variable would "
    "get its old value back on resume";
constexpr std::string_view nosave_remedy =
    "make it an ordinary variable, if it may be saved and restored";

constexpr Meaning meanings[] = {
    {"decrypted",
     "in an encrypted guest, boot code shares that part of the image with the hypervisor, and no "
     "module's memory: the hypervisor would read noise",
     "allocate pages when they are first used, and call set_memory_decrypted() for them"},
    {"nosave", nosave, nosave_remedy},
    {".vvar", "programs see that part of the image, and no module's memory",
     "make it an ordinary variable, if only the kernel reads it"},
    {"first",
     "it has to be the first of each CPU's variables, and a module's come after the kernel's",
     "make it an ordinary per-CPU variable (DEFINE_PER_CPU)"},
};

}  // namespace

std::vector<Error> data_that_needs_the_image(const PieceGraph& post,
                                             const std::vector<Fate>& fate) {
  std::vector<Error> out;
  for (std::size_t i = 0; i < fate.size(); ++i) {
    const Piece& piece = post.pieces()[i];
    if (fate[i] != Fate::fresh || piece.kind != PieceKind::data) {
      continue;
    }
    const std::string& section = post.section_of(piece).name;
    // What follows one dot is the variable's own name (-fdata-sections).
    const auto* meaning = std::ranges::find_if(meanings, [&](const Meaning& one) {
      return section.starts_with(one.sign) || section.contains(fmt::format("..{}", one.sign));
    });
    if (meaning == std::end(meanings)) {
      continue;
    }
    out.push_back(
        Error{Code::special_section, std::string(authors_name(post, piece)),
              fmt::format("it is new and lies in the section {}: {}", section, meaning->what),
              std::string(meaning->remedy)});
  }
  return out;
}

}  // namespace suture::diff
