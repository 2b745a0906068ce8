// SPDX-License-Identifier: GPL-2.0-or-later
//
// Run-pre matching (Arnold and Kaashoek, "Ksplice: Automatic Rebootless Kernel Updates", EuroSys
// 2009, section 4): is the code that was compiled from the unpatched source the code that runs, and
// where does everything that it refers to lie?
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "diff/pieces.h"
#include "match/run_object.h"

namespace suture::match {

struct FunctionMatch {
  std::int32_t piece = -1;    // of pre
  std::uint64_t address = 0;  // where it runs
  std::uint32_t symbol = 0;   // the run symbol, into RunObject::symbols().all()
};

struct Mismatch {
  enum class Kind : std::uint8_t {
    missing,     // the running kernel has no function of that name
    different,   // it is not the code that was compiled
    ambiguous,   // several places fit
    overridden,  // a weak function that is not the one the linker took
  };

  std::int32_t piece = -1;
  Kind kind = Kind::missing;
  std::uint64_t address = 0;     // of the candidate that came furthest; 0: there was none
  std::uint64_t offset = 0;      // where it differs, in pre
  std::uint64_t run_offset = 0;  // and in the run
  std::string reason;
};

struct MatchResult {
  std::map<std::int32_t, FunctionMatch> functions;  // by pre piece
  std::map<std::int32_t, Mismatch> mismatches;      // by pre piece
  std::map<std::int32_t, std::uint64_t> addresses;  // solved: pre piece → run address of its start
  std::map<std::string, std::uint64_t, std::less<>>
      externals;       // solved: undefined symbol → address
  std::size_t of = 0;  // functions that were to be matched; overridden ones do not count
};

// Matches every function of pre that is not init code against the run object. Never fails as a
// whole: what does not match is in `mismatches`.
MatchResult match(const diff::PieceGraph& pre, const RunObject& run);

}  // namespace suture::match
