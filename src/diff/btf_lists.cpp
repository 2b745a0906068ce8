// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: lists of BTF ids (BTF_SET_START, BTF_ID_LIST) are read whenever a BPF program is
// verified, so a changed one is no matter of boot. An object has only names in them; the numbers
// are written by a program of the build when the image is linked, so a patch cannot bring a list.
//
// Method: the section is the names in it, in order of place. Names of ids end in a number that the
// compiler counts up, which is left out. Beside them stand flags.
#include "diff/btf_lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace suture::diff {

namespace {

using Entry = std::pair<std::uint64_t, std::string_view>;

std::vector<Entry> entries_of(const PieceGraph& graph) {
  constexpr std::string_view id = "__BTF_ID__";
  const auto& sections = graph.object().sections();
  std::vector<Entry> out;
  for (const elf::Symbol& symbol : graph.object().symbols()) {
    if (!symbol.defined() || sections[symbol.section].name != btf_lists_section ||
        symbol.name.empty()) {
      continue;
    }
    std::string_view name = symbol.name;
    if (name.starts_with(id)) {
      name = name.substr(0, name.find_last_not_of("0123456789") + 1).substr(id.size());
      name = name.substr(0, name.find_last_not_of('_') + 1);
    }
    out.emplace_back(symbol.value, name);
  }
  std::ranges::sort(out);
  return out;
}

// Zeros, but for the flags of functions that programs may call.
ByteView contents_of(const PieceGraph& graph) {
  const elf::Section* section = graph.object().section(btf_lists_section);
  return section == nullptr ? ByteView{} : section->data;
}

}  // namespace

std::optional<Error> changed_btf_lists(const PieceGraph& pre, const PieceGraph& post) {
  const std::vector<Entry> before = entries_of(pre);
  const std::vector<Entry> after = entries_of(post);
  auto [old, now] = std::ranges::mismatch(before, after);
  std::string_view which;
  if (old != before.end() || now != after.end()) {
    which = old == before.end() ? now->second : old->second;
  } else if (!std::ranges::equal(contents_of(pre), contents_of(post))) {
    which = btf_lists_section;
  } else {
    return std::nullopt;
  }
  return Error{Code::data_changed, std::string(which),
               "a list of BTF ids changes here: the kernel reads it whenever it verifies a BPF "
               "program, and its numbers are only known where the whole kernel is linked",
               "leave the list as it is"};
}

}  // namespace suture::diff
