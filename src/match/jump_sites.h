// SPDX-License-Identifier: GPL-2.0-or-later
//
// Static branches: places in code that are a jump or a NOP of the same width, and that the kernel
// switches while it runs (include/linux/jump_label.h). Which of the two an object file holds
// depends on who wrote it last, the compiler or objtool; what counts is the entry in __jump_table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "diff/pieces.h"
#include "match/run_object.h"

namespace suture::match {

struct JumpSite {
  std::uint64_t offset = 0;  // of the instruction, from the start of the function
  diff::Reference target;    // where it jumps to
  diff::Reference key;       // the static key; its lowest two bits say how the branch starts
};

struct RunJumpSite {
  std::uint64_t target = 0;
  std::uint64_t key = 0;
};

class JumpSites {
 public:
  // Both must outlive it.
  JumpSites(const diff::PieceGraph& pre, const RunObject& run);

  // The sites of a piece of pre, by offset.
  std::span<const JumpSite> of(std::int32_t piece) const;
  // The site at that address of the running kernel.
  std::optional<RunJumpSite> at(std::uint64_t address);

 private:
  void read_pre(const diff::PieceGraph& pre);
  void read_run();

  const RunObject& object_;
  std::map<std::int32_t, std::vector<JumpSite>> pre_;
  // Read when it is first asked for: most objects match without.
  std::optional<std::unordered_map<std::uint64_t, RunJumpSite>> run_;
};

}  // namespace suture::match
