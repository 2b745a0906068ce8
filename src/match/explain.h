// SPDX-License-Identifier: GPL-2.0-or-later
//
// Why a function is not the one that runs: both sides disassembled around the place where they
// part, and the likely cause.
#pragma once

#include <string>
#include <vector>

#include "match/match.h"

namespace suture::match {

enum class Cause {
  compiler,  // another compiler made the kernel
  options,   // the same one, but most of the file differs: its options, or the configuration
  source,    // a few functions differ: the source's version, an option that few depend on, or a
             // damaged image
};
std::string_view cause_name(Cause cause);

struct Explanation {
  std::string function;
  std::uint64_t offset = 0;      // where it differs, in what was compiled
  std::uint64_t address = 0;     // where the running function starts
  std::uint64_t run_offset = 0;  // where it differs, from `address`
  std::string reason;
  Cause cause = Cause::source;
  std::string cause_text;  // the cause as a sentence
  // A few instructions each, "-> " before the one that differs.
  std::vector<std::string> compiled;
  std::vector<std::string> running;

  // All of it, for people.
  std::string text() const;
};

Explanation explain(const diff::PieceGraph& pre, const RunObject& run, const MatchResult& result,
                    const Mismatch& mismatch);

}  // namespace suture::match
