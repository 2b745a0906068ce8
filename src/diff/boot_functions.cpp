// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: an initcall, the function of module_init(), or what only boot code calls, lies in .text
// like any other function if `__init` is missing. It stays in memory, but nobody calls it again: a
// change of it does nothing, and what it sets keeps its value.
//
// Method: who refers to a function decides. Candidates are the functions of sections that stay. One
// falls if anything but an initcall entry takes its address, or if code that is neither boot code
// nor a candidate calls it; that is repeated until none falls. Functions that other files see fall
// unless the running object shows that only its boot code refers to them. Of the rest count those,
// and what an initcall entry or boot code leads to.
//
// Invariants: a function that run-time code can reach by a call or a pointer is never in the
// result.
#include "diff/boot_functions.h"

#include <algorithm>
#include <vector>

namespace suture::diff {

namespace {

class BootFunctions {
 public:
  BootFunctions(const PieceGraph& graph, const std::function<bool(std::int32_t)>& boot_alone_calls)
      : graph_(graph), boot_alone_calls_(boot_alone_calls) {}

  std::set<std::int32_t> find() {
    const auto count = static_cast<std::int32_t>(graph_.pieces().size());
    for (std::int32_t i = 0; i < count; ++i) {
      if (may_be(graph_.piece(i))) {
        candidates_.insert(i);
      }
    }
    while (drop_what_runs(count)) {
    }
    // Those that fall here may have held others.
    if (std::erase_if(candidates_, [&](std::int32_t i) {
          return graph_.piece(i).global && !is_module_init(graph_.piece(i)) &&
                 !boot_alone_calls_(i);
        }) > 0) {
      while (drop_what_runs(count)) {
      }
    }
    std::vector<std::int32_t> work;
    for (std::int32_t i = 0; i < count; ++i) {
      if (is_entry(i) || is_marked(i)) {
        add_targets(i, work);
      } else if (candidates_.contains(i) && graph_.piece(i).global) {
        work.push_back(i);
      }
    }
    std::set<std::int32_t> out;
    while (!work.empty()) {
      const std::int32_t index = work.back();
      work.pop_back();
      if (out.insert(index).second) {
        add_targets(index, work);
      }
    }
    return out;
  }

 private:
  const std::string& section(std::int32_t index) const {
    return graph_.section_of(graph_.piece(index)).name;
  }
  bool is_module_init(const Piece& piece) const {
    const auto& symbols = graph_.object().symbols();
    return piece.name == "init_module" ||
           std::ranges::any_of(piece.aliases, [&](std::uint32_t alias) {
             return symbols[alias].name == "init_module";
           });
  }
  bool may_be(const Piece& piece) const {
    return piece.kind == PieceKind::function && !is_freed_section(graph_.section_of(piece).name);
  }
  // An entry of the lists of what the kernel calls once.
  bool is_entry(std::int32_t index) const {
    return graph_.piece(index).kind == PieceKind::data &&
           (section(index).starts_with(".initcall") || section(index).starts_with(".init.setup"));
  }
  // A pointer that only keeps a symbol for the compiler and the linker, and that nobody reads.
  // module_init() makes one among the data that is freed.
  bool is_anchor(std::int32_t index, const Reference& reference) const {
    return section(index).starts_with(".discard") ||
           (graph_.piece(index).kind == PieceKind::data && is_freed_section(section(index)) &&
            reference.target_piece >= 0 && is_module_init(graph_.piece(reference.target_piece)));
  }
  bool is_marked(std::int32_t index) const {
    return graph_.piece(index).kind == PieceKind::function && is_freed_section(section(index)) &&
           !is_exit_section(section(index));
  }
  bool runs_at_boot(std::int32_t index) const {
    return candidates_.contains(index) || is_marked(index);
  }

  bool drop_what_runs(std::int32_t count) {
    bool dropped = false;
    for (std::int32_t i = 0; i < count; ++i) {
      if (is_entry(i)) {
        continue;
      }
      for (const Reference& reference : graph_.piece(i).references) {
        const bool calls_at_boot = reference.is_branch && runs_at_boot(i);
        if (!calls_at_boot && !is_anchor(i, reference)) {
          dropped = candidates_.erase(reference.target_piece) > 0 || dropped;
        }
      }
    }
    return dropped;
  }

  void add_targets(std::int32_t index, std::vector<std::int32_t>& work) const {
    for (const Reference& reference : graph_.piece(index).references) {
      if (candidates_.contains(reference.target_piece)) {
        work.push_back(reference.target_piece);
      }
    }
  }

  const PieceGraph& graph_;
  const std::function<bool(std::int32_t)>& boot_alone_calls_;
  std::set<std::int32_t> candidates_;
};

}  // namespace

std::set<std::int32_t> unmarked_boot_functions(
    const PieceGraph& graph, const std::function<bool(std::int32_t)>& boot_alone_calls) {
  return BootFunctions(graph, boot_alone_calls).find();
}

}  // namespace suture::diff
