// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: constant data that boot code alone names looks as if it had been used up. But who
// registers a group of attributes keeps what the group points to, and the address of the group
// itself is kept by nobody.
//
// Method: the code that names the data is followed (diff::AddressWatch) with what is read through
// its address. What a function that the file only names is given counts as kept, but for those that
// are known to read texts.
//
// Invariant: doubt counts as given away, so a change of such data is refused, never left out.
#include "diff/registered.h"

#include <algorithm>
#include <set>

#include "diff/address_watch.h"

namespace suture::diff {

namespace {

std::string giver_in(const Side& side, std::int32_t data) {
  const PieceGraph& graph = side.graph;
  const auto leads_nowhere = [&](const Reference& reference) {
    return reference.target_piece >= 0 && is_copyable(graph, graph.piece(reference.target_piece));
  };
  if (std::ranges::all_of(graph.piece(data).references, leads_nowhere)) {
    return {};
  }
  const OutsideFate keeps = [](auto, auto) { return elf::AddressFate::leaves; };
  AddressWatch watch(side, keeps);
  const AddressWatch::Held held{
      .in = [&](const Reference& reference) { return reference.target_piece == data; },
      .variable = data,
      .contents = true};
  std::set<std::int32_t> holders;
  for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
    if (std::ranges::any_of(graph.pieces()[i].references, held.in)) {
      holders.insert(watch.owner_of(static_cast<std::int32_t>(i)));
    }
  }
  const auto giver = watch.leak(held, std::move(holders));
  return giver ? std::string(graph.piece(*giver).name) : std::string{};
}

}  // namespace

std::string giver_of_contents(const Side& pre, std::int32_t before, const Side& post,
                              std::int32_t after) {
  std::string giver = giver_in(pre, before);
  return giver.empty() ? giver_in(post, after) : giver;
}

}  // namespace suture::diff
