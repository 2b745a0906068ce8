// SPDX-License-Identifier: GPL-2.0-or-later
//
// Placing: where each chosen piece lies in the module that is being written.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "module/assembly.h"
#include "module/late_keys.h"
#include "module/link.h"

namespace suture::module {

// A graph whose pieces are placed: one per input, and the glue, of which everything is taken.
struct Source {
  const diff::PieceGraph* graph = nullptr;
  const diff::CodeTables* tables = nullptr;
  const LinkInput* input = nullptr;  // null for the glue
  std::vector<Place> places;         // per piece
  std::vector<LateSites> late;       // per piece
  bool taken(std::size_t piece) const { return places[piece].section >= 0; }
  // What a piece takes up from its place on.
  std::uint64_t size(std::size_t piece) const {
    return graph->pieces()[piece].size + late[piece].size();
  }
};

class Placing {
 public:
  explicit Placing(Assembly& assembly) : assembly_(assembly) {}

  // Each puts its pieces behind what was added before, in output sections of their input sections'
  // names. module-static-key.
  Status add_input(const LinkInput& input, const LateKeys& keys);
  // `with_exit`: the module has an exit function, so it can be removed.
  void add_glue(const diff::PieceGraph& graph, const diff::CodeTables& tables, bool with_exit);
  // A thing that the writer makes itself.
  void add_global(const std::string& name, Place place) { globals_.try_emplace(name, place); }

  const std::vector<Source>& sources() const { return sources_; }
  // A global of the glue, or what the writer has made; it is known to be there.
  Place global(std::string_view name) const { return globals_.find(name)->second; }

 private:
  template <class Wanted>
  void place(Source source, Wanted wanted);
  Place place_piece(const Source& source, std::size_t index);

  Assembly& assembly_;
  std::vector<Source> sources_;  // the inputs in their order, and the glue
  std::map<std::string, Place, std::less<>> globals_;
};

}  // namespace suture::module
