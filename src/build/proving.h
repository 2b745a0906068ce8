// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a build hands to the proof of its module: the compiled objects, and what matching found.
#pragma once

#include <string>

#include "build/kernel_side.h"
#include "match/match.h"
#include "prove/prove.h"

namespace suture::build {

// The kernel's side of it; `side` must outlive it.
prove::Case proof_case(KernelSide& side);

prove::Unit proof_unit(const std::string& source, const match::RunObject& run,
                       const diff::PieceGraph& pre, const elf::ObjectFile& post,
                       const match::MatchResult& matched);

// proof-failed, with the first accusation, where there is one.
Status verdict(const prove::Proof& proof);

}  // namespace suture::build
