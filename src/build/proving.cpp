// SPDX-License-Identifier: GPL-2.0-or-later
#include "build/proving.h"

#include <fmt/format.h>

namespace suture::build {

namespace {

// Addresses outside a module were made up for matching, and say nothing.
std::optional<prove::RunPlace> place_of(const match::RunObject& run, std::uint64_t address) {
  if (run.name() == "vmlinux") {
    return prove::RunPlace{.value = address};
  }
  auto place = run.place(address);
  return place ? std::optional(prove::RunPlace{place->first, place->second}) : std::nullopt;
}

}  // namespace

prove::Case proof_case(KernelSide& side) {
  return prove::Case{
      .units = {},
      .image = &side.image(),
      .exports = side.exports(),
      .symvers = &side.symvers(),
      .find_module = [&side](const std::string& name) -> Result<const kernel::ModuleImage*> {
        return &TRY(side.module(name, name))->image;
      },
      .glue = &side.glue().object,
      .constants = &side.glue().constants};
}

prove::Unit proof_unit(const std::string& source, const match::RunObject& run,
                       const diff::PieceGraph& pre, const elf::ObjectFile& post,
                       const match::MatchResult& matched) {
  prove::Unit unit{.source = source, .object = run.name(), .pre = &pre.object(), .post = &post};
  for (const auto& [piece, address] : matched.addresses) {
    auto place = place_of(run, address);
    if (place && pre.piece(piece).symbol != 0) {
      unit.defined.emplace(pre.piece(piece).symbol, *place);
    }
  }
  for (const auto& [name, address] : matched.externals) {
    if (auto place = place_of(run, address)) {
      unit.undefined.emplace(name, *place);
    }
  }
  return unit;
}

Status verdict(const prove::Proof& proof) {
  if (proof.accusations.empty()) {
    return {};
  }
  Error first = proof.accusations.front();
  if (proof.accusations.size() > 1) {
    first.reason += fmt::format(" (and {} further differences)", proof.accusations.size() - 1);
  }
  first.remedy = "nothing was written; this is a bug of Suture: report it with the diff";
  return std::unexpected(std::move(first));
}

}  // namespace suture::build
