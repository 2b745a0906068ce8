// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the linker gathers some sections of all files into lists that the kernel walks whenever
// it needs them: PCI quirks (DECLARE_PCI_FIXUP_*), firmware that is built in, checksums for resume.
// Nothing refers to an entry, and most have no name, so that a new, changed or removed one shows
// nowhere else, and a patch cannot give the kernel one.
//
// Method: the names of sections for plain code and data are few and known; what has another name
// and stays in memory is such a list. A list is its bytes and what its fields refer to, in order of
// place.
#include "diff/gathered_lists.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string>

namespace suture::diff {

namespace {

constexpr std::string_view pci_quirks = ".pci_fixup";  // and what follows it

// The bytes up to a field that the linker fills, and what that field refers to.
struct Part {
  std::string content;
  std::string_view function;  // of the field; the last part of a list has none
};

// By section.
using Lists = std::map<std::string_view, std::vector<Part>>;

Lists lists_of(const PieceGraph& graph, const std::vector<std::int32_t>* pre_of) {
  std::vector<const Piece*> pieces;
  for (const Piece& piece : graph.pieces()) {
    if (is_gathered_list(graph.arch(), graph.section_of(piece))) {
      pieces.push_back(&piece);
    }
  }
  std::ranges::sort(pieces, {}, [](const Piece* piece) { return piece->offset; });
  Lists out;
  for (const Piece* piece : pieces) {
    std::vector<Part>& list = out[graph.section_of(*piece).name];
    const ByteView bytes = graph.bytes(*piece);
    std::size_t done = 0;
    for (const Reference& reference : piece->references) {
      const std::int32_t target = reference.target_piece;
      const std::string_view name = name_of(graph, reference);
      const std::int32_t before =
          target < 0 || pre_of == nullptr ? target : (*pre_of)[static_cast<std::size_t>(target)];
      // Where in a function a place lies changes with its code.
      const bool in_code = target >= 0 && graph.piece(target).kind == PieceKind::function;
      const bool inside = in_code && reference.target_offset != 0;
      const ByteView upto = bytes.subspan(done, reference.offset - done);
      list.push_back({fmt::format("{:02x} {} {}", fmt::join(upto, ""),
                                  before < 0 ? std::string(name) : std::to_string(before),
                                  inside ? 1 : reference.target_offset),
                      name});
      done = reference.offset;
    }
    list.push_back({fmt::format("{:02x}", fmt::join(bytes.subspan(done), "")), piece->name});
  }
  return out;
}

// Sections of which each entry is a variable that both sides have.
bool all_known(const PieceGraph& pre, const PieceGraph& post,
               const std::vector<std::int32_t>& pre_of, std::string_view section) {
  auto entries = [&](const PieceGraph& graph) {
    return std::ranges::count_if(graph.pieces(), [&](const Piece& piece) {
      return graph.section_of(piece).name == section;
    });
  };
  std::ptrdiff_t known = 0;
  for (std::size_t i = 0; i < pre_of.size(); ++i) {
    const Piece& piece = post.pieces()[i];
    known += static_cast<std::ptrdiff_t>(post.section_of(piece).name == section &&
                                         !piece.name.empty() && pre_of[i] >= 0);
  }
  return known == entries(pre) && known == entries(post);
}

}  // namespace

bool is_gathered_list(const elf::Arch& arch, const elf::Section& section) {
  // What a compiler makes of a variable, and the kernel's own places for variables; what follows
  // the code that it is about (tables.h); and what is compared by rules of its own.
  constexpr std::string_view others[] = {
      ".data",         ".bss",      ".rodata",       ".ref.data",        ".ref.rodata",
      ".vvar",         ".mem",      ".altinstr",     ".static_call",     "__dyndbg",
      ".printk_index", ".eh_frame", ".gnu.linkonce", "__tracepoint_str", ".suture",
      ".brk"};
  const std::string_view name = section.name;
  if (name.starts_with(pci_quirks)) {
    return true;
  }
  return (section.flags & SHF_ALLOC) != 0 && (section.flags & (SHF_EXECINSTR | SHF_MERGE)) == 0 &&
         !is_table_section(arch, name) && !is_init_section(name) &&
         std::ranges::none_of(others, [&](auto other) { return name.starts_with(other); });
}

std::optional<Error> changed_gathered_lists(const PieceGraph& pre, const PieceGraph& post,
                                            const std::vector<std::int32_t>& pre_of) {
  Lists before = lists_of(pre, nullptr);
  Lists after = lists_of(post, &pre_of);
  for (const auto& [section, parts] : before) {
    after[section];  // it may be gone
  }
  for (const auto& [section, parts] : after) {
    const std::vector<Part>& old = before[section];
    const auto [was, now] = std::ranges::mismatch(old, parts, {}, &Part::content, &Part::content);
    if ((was == old.end() && now == parts.end()) || all_known(pre, post, pre_of, section)) {
      continue;
    }
    std::string_view function = now == parts.end() ? std::string_view{} : now->function;
    if (function.empty() && was != old.end()) {
      function = was->function;
    }
    return Error{
        Code::data_changed, std::string(function.empty() ? section : function),
        fmt::format("an entry of {} changes here, {}, and a patch cannot give it another", section,
                    section.starts_with(pci_quirks)
                        ? "a table of PCI quirks: the kernel walks its own whenever a device is "
                          "found, enabled or resumed"
                        : "a list that the linker gathers from all files: the kernel uses its own"),
        "leave the list as it is, and do what the entry is for in a function that is called "
        "already"};
  }
  return std::nullopt;
}

std::vector<Error> code_that_lists_name(const PieceGraph& post, const std::vector<Fate>& fate) {
  std::vector<Error> out;
  for (const Piece& entry : post.pieces()) {
    const elf::Section& list = post.section_of(entry);
    if (entry.kind != PieceKind::data || !is_gathered_list(post.arch(), list)) {
      continue;
    }
    for (const Reference& reference : entry.references) {
      const std::int32_t target = reference.target_piece;
      if (target < 0 || fate[static_cast<std::size_t>(target)] == Fate::out ||
          post.piece(target).kind != PieceKind::function || reference.target_offset == 0) {
        continue;
      }
      const std::string name(authors_name(post, post.piece(target)));
      if (std::ranges::none_of(out, [&](const Error& told) { return told.where == name; })) {
        out.push_back(Error{
            Code::special_section, name,
            fmt::format("it goes into the patch, and {} names a place inside it: the kernel does "
                        "something with its own code there, and would not with the patch's",
                        list.name),
            "make the change in a function that does not have such a place"});
      }
    }
  }
  return out;
}

}  // namespace suture::diff
