// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what kmalloc() gave may not go to vfree(), and pages of order 2 may not be freed as such
// of order 3. A diff that changes both ends is right for what comes, and wrong for what is there.
//
// Method: of each function that goes in, what it calls to allocate and to free, before and after.
// Memory of one kind gives way to another kind in one function, and in a second one what frees the
// old kind to what cannot. Or the constant that says how much changes alike in both.
//
// Invariants: what frees in the new way and allocates in the new way itself may free its own, and
// is not refused. What frees several kinds, as kvfree() does, frees those that there are.
#include "diff/freed_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "diff/code_numbers.h"

namespace suture::diff {

namespace {

// Kinds of memory, as bits.
constexpr unsigned slab = 1;
constexpr unsigned cache = 2;  // an object of a cache
constexpr unsigned area = 4;   // vmalloc()
constexpr unsigned pages = 8;
constexpr unsigned per_cpu = 16;
constexpr unsigned dma = 32;
constexpr unsigned managed = 64;  // freed with its device

struct Kinds {
  std::string_view start;  // of a function's name
  unsigned kinds = 0;
};
constexpr std::array<Kinds, 20> givers{{{"devm_kmalloc", managed},
                                        {"devm_kmemdup", managed},
                                        {"kmem_cache_alloc_trace", slab},
                                        {"kmem_cache_alloc_node_trace", slab},
                                        {"kmem_cache_alloc", cache},
                                        {"__kmalloc", slab},
                                        {"kmalloc", slab},
                                        {"kmemdup", slab},
                                        {"kstrdup", slab},
                                        {"krealloc", slab},
                                        {"kvmalloc", slab | area},
                                        {"__kvmalloc", slab | area},
                                        {"vmalloc", area},
                                        {"vzalloc", area},
                                        {"__vmalloc", area},
                                        {"__get_free_pages", pages},
                                        {"get_zeroed_page", pages},
                                        {"__alloc_pages", pages},
                                        {"__alloc_percpu", per_cpu},
                                        {"dma_alloc_", dma}}};
// kfree() finds the cache of an object by itself.
constexpr std::array<Kinds, 12> takers{{{"devm_kfree", managed},
                                        {"kfree_skb", 0},
                                        {"kfree_const", 0},
                                        {"kfree", slab | cache},
                                        {"kvfree", slab | cache | area},
                                        {"vfree", area},
                                        {"kmem_cache_free", cache},
                                        {"free_pages", pages},
                                        {"__free_page", pages},
                                        {"free_page", pages},
                                        {"free_percpu", per_cpu},
                                        {"dma_free_", dma}}};

unsigned kinds_of(std::span<const Kinds> all, std::string_view function) {
  const auto it =
      std::ranges::find_if(all, [&](const Kinds& one) { return function.starts_with(one.start); });
  return it == all.end() ? 0 : it->kinds;
}

// What tells the one how much it gives, tells the other how much it takes back.
bool may_allocate(std::string_view function) {
  return function.contains("alloc") || function.contains("get_free_page") ||
         function.starts_with("dma_map_");
}
bool may_free(std::string_view function) {
  const bool says_why = function.starts_with("kfree_skb");  // by a number
  const bool freezes = function.contains("freez");
  return (function.contains("free") && !says_why && !freezes) || function.starts_with("dma_unmap_");
}

// A constant that is given to a function in a register.
struct Constant {
  std::string_view to;
  std::string where;
  std::uint64_t value = 0;
  auto operator<=>(const Constant&) const = default;
};

struct Memory {
  std::map<std::string_view, int> gives, takes;  // by function: how often it is called
  std::set<Constant> given, taken;
};

struct ConstantChange {
  Constant was, is;
};

std::vector<ConstantChange> changes(const std::set<Constant>& before,
                                    const std::set<Constant>& after) {
  std::vector<ConstantChange> out;
  for (const Constant& was : before) {
    for (const Constant& is : after) {
      if (was.to == is.to && was.where == is.where && !after.contains(was) &&
          !before.contains(is)) {
        out.push_back({was, is});
      }
    }
  }
  return out;
}

// What is called more often `there` than `here`.
std::vector<std::string_view> more_often(const std::map<std::string_view, int>& here,
                                         const std::map<std::string_view, int>& there) {
  std::vector<std::string_view> out;
  for (const auto& [function, count] : there) {
    const auto old = here.find(function);
    if (old == here.end() || old->second < count) {
      out.push_back(function);
    }
  }
  return out;
}

class FreedMemoryJudge {
 public:
  FreedMemoryJudge(const BootGraph& before, const BootGraph& after, std::span<BootFile> files)
      : before_(before), after_(after), files_(files) {}

  void run(std::span<const GoingIn> functions, const std::function<bool(Node)>& answered_for) {
    for (const GoingIn& function : functions) {
      Change change{.node = function.after,
                    .before = function.before ? memory_of(before_, *function.before) : Memory{},
                    .after = memory_of(after_, function.after)};
      changes_.push_back(std::move(change));
    }
    for (const Change& freeing : changes_) {
      if (!answered_for(freeing.node)) {
        judge(freeing);
      }
    }
  }

 private:
  struct Change {
    Node node;
    Memory before, after;
  };

  static Memory memory_of(const BootGraph& half, Node node) {
    Memory out;
    const PieceGraph& graph = half.graph(node.file);
    const Piece& piece = half.piece(node);
    if (std::ranges::none_of(piece.references, [&](const Reference& call) {
          const std::string_view name = diff::name_of(graph, call);
          return call.is_branch && (may_allocate(name) || may_free(name));
        })) {
      return out;
    }
    const std::vector<elf::Instruction> code = graph.arch().decode(graph.bytes(piece));
    for (const NamedCall& call : calls_in(graph, piece, code)) {
      const bool frees = may_free(call.to) && !may_allocate(call.to);
      if (!frees && !may_allocate(call.to)) {
        continue;
      }
      ++(frees ? out.takes : out.gives)[call.to];
      for (const auto& [where, value] : call.given) {
        (frees ? out.taken : out.given).insert({call.to, where, value});
      }
    }
    return out;
  }

  void judge(const Change& freeing) {
    const auto by = more_often(freeing.before.takes, freeing.after.takes);
    const auto taken = changes(freeing.before.taken, freeing.after.taken);
    for (const Change& allocating : changes_) {
      if (&allocating == &freeing) {
        continue;
      }
      for (std::string_view function : by) {
        if (judge_kinds(freeing, allocating, function)) {
          return;
        }
      }
      for (const ConstantChange& change : taken) {
        if (judge_constants(freeing, allocating, change)) {
          return;
        }
      }
    }
  }

  // Somebody took the old kind back before, and `function` does not.
  bool judge_kinds(const Change& freeing, const Change& allocating, std::string_view function) {
    const unsigned takes = kinds_of(takers, function);
    for (std::string_view now : more_often(allocating.before.gives, allocating.after.gives)) {
      for (std::string_view old : more_often(allocating.after.gives, allocating.before.gives)) {
        const unsigned was = kinds_of(givers, old);
        const unsigned is = kinds_of(givers, now);
        if ((was & ~takes) == 0 || (is & takes) == 0 || !frees_less(freeing, was) ||
            allocates_more(freeing, is)) {
          continue;
        }
        refuse(freeing,
               fmt::format("it frees by {}() after the diff, and {}, which allocates memory, does "
                           "so by {}() instead of {}(): what it has allocated so far would be "
                           "freed by the wrong function",
                           function, after_.name(allocating.node), now, old));
        return true;
      }
    }
    return false;
  }

  // Such a kind was freed in the function before, or where a new one comes, elsewhere.
  bool frees_less(const Change& freeing, unsigned kinds) const {
    if (kinds == managed) {
      return true;  // nobody had to
    }
    const auto less = [&](const Change& change) {
      return std::ranges::any_of(
          more_often(change.after.takes, change.before.takes),
          [&](std::string_view function) { return (kinds & ~kinds_of(takers, function)) == 0; });
    };
    return freeing.before.takes.empty() ? std::ranges::any_of(changes_, less) : less(freeing);
  }

  static bool allocates_more(const Change& change, unsigned kinds) {
    return std::ranges::any_of(
        more_often(change.before.gives, change.after.gives),
        [&](std::string_view function) { return (kinds_of(givers, function) & kinds) != 0; });
  }

  bool judge_constants(const Change& freeing, const Change& allocating,
                       const ConstantChange& taken) {
    const auto same = given_alike(allocating, taken);
    if (!same || given_alike(freeing, taken)) {
      return false;
    }
    refuse(freeing,
           fmt::format("it gives {}() the number {} instead of {} after the diff, and {} gives it "
                       "to {}(): what that has allocated so far is of the old size",
                       taken.is.to, taken.is.value, taken.was.value, after_.name(allocating.node),
                       same->is.to));
    return true;
  }

  static std::optional<ConstantChange> given_alike(const Change& allocating,
                                                   const ConstantChange& taken) {
    const auto given = changes(allocating.before.given, allocating.after.given);
    const auto it = std::ranges::find_if(given, [&](const ConstantChange& change) {
      return change.was.value == taken.was.value && change.is.value == taken.is.value;
    });
    return it == given.end() ? std::nullopt : std::optional(*it);
  }

  void refuse(const Change& freeing, std::string reason) {
    files_[freeing.node.file].diff.refusals.push_back(Error{
        Code::layout_changed, std::string(after_.name(freeing.node)), std::move(reason),
        "allocate and free as before, or see to what was allocated in a callback of the patch "
        "(SUTURE_PRE_PATCH)"});
  }

  const BootGraph& before_;
  const BootGraph& after_;
  std::span<BootFile> files_;
  std::vector<Change> changes_;
};

}  // namespace

void judge_freed_memory(const BootGraph& before, const BootGraph& after, std::span<BootFile> files,
                        std::span<const GoingIn> functions,
                        const std::function<bool(Node)>& answered_for) {
  FreedMemoryJudge(before, after, files).run(functions, answered_for);
}

}  // namespace suture::diff
