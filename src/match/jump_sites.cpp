// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/jump_sites.h"

#include <algorithm>

namespace suture::match {

namespace {

// struct jump_entry where the architecture has relative ones: int code, target; long key; each the
// distance from its own place.
constexpr std::uint64_t entry_size = 16;
constexpr std::uint64_t target_at = 4;
constexpr std::uint64_t key_at = 8;

}  // namespace

JumpSites::JumpSites(const diff::PieceGraph& pre, const RunObject& run) : object_(run) {
  read_pre(pre);
}

void JumpSites::read_pre(const diff::PieceGraph& pre) {
  for (const elf::Section& section : pre.object().sections()) {
    if (section.name != "__jump_table") {
      continue;
    }
    const auto& relocations = section.relocations;
    for (std::size_t i = 0; i + 2 < relocations.size(); i += 3) {
      if (relocations[i].offset % entry_size != 0 ||
          relocations[i + 1].offset != relocations[i].offset + target_at ||
          relocations[i + 2].offset != relocations[i].offset + key_at) {
        return;  // another layout: no site is known, and none is excused
      }
      const diff::Reference code = pre.resolve(relocations[i]);
      pre_[code.target_piece].push_back(
          JumpSite{.offset = static_cast<std::uint64_t>(code.target_offset),
                   .target = pre.resolve(relocations[i + 1]),
                   .key = pre.resolve(relocations[i + 2])});
    }
  }
  for (auto& [piece, sites] : pre_) {
    std::ranges::sort(sites, {}, &JumpSite::offset);
  }
}

void JumpSites::read_run() {
  auto [start, table] = object_.jump_table();
  run_.emplace();
  for (std::uint64_t offset = 0; offset + entry_size <= table.size(); offset += entry_size) {
    const std::uint64_t place = start + offset;
    auto code =
        static_cast<std::uint64_t>(std::int64_t{read_le<std::int32_t>(table, offset).value_or(0)});
    auto target = static_cast<std::uint64_t>(
        std::int64_t{read_le<std::int32_t>(table, offset + target_at).value_or(0)});
    auto key = read_le<std::uint64_t>(table, offset + key_at).value_or(0);
    run_->emplace(place + code,
                  RunJumpSite{.target = place + target_at + target, .key = place + key_at + key});
  }
}

std::span<const JumpSite> JumpSites::of(std::int32_t piece) const {
  auto it = pre_.find(piece);
  return it == pre_.end() ? std::span<const JumpSite>{} : it->second;
}

std::optional<RunJumpSite> JumpSites::at(std::uint64_t address) {
  if (!run_) {
    read_run();
  }
  auto it = run_->find(address);
  return it == run_->end() ? std::nullopt : std::optional(it->second);
}

}  // namespace suture::match
