// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a diff can change what no instruction shows. A variable that gets another name is a new
// one, and what the running one holds is lost: a list of what is registered would be empty. Exports
// lie in sorted tables of the kernel, and what a module says of itself in its file.
//
// Method: a writable variable is gone, and a new one took its place if a function that used the one
// uses the other, whatever their sizes. Functions that are gone count as those that called them,
// and new functions as those that call them. Where all these functions got other names, too, the
// size tells. A new global may lie in another file. Exports and .modinfo are compared as sets.
//
// Invariants: flags that only remember that a message was printed may start anew, and hold nothing
// of what another variable held. A lock holds nothing but what another lock held, so it only takes
// the place of one.
#include "diff/left_behind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "diff/onces.h"

namespace suture::diff {

namespace {

bool is_writable_variable(const PieceGraph& graph, std::int32_t index) {
  const Piece& piece = graph.piece(index);
  return piece.kind == PieceKind::data && (graph.section_of(piece).flags & SHF_WRITE) != 0 &&
         !is_copyable(graph, piece);
}

// A flag of a macro: what matters of a once is the variable that it fills.
bool holds_nothing(std::string_view name) {
  const std::string base = base_name(name);
  return may_start_anew(base) || is_key_of_a_once(base);
}

// All that is done with it is to give it to such functions.
bool only_goes_to(const PieceGraph& graph, std::int32_t variable,
                  bool (*is_one)(std::string_view function)) {
  bool goes = false;
  for (const Piece& user : graph.pieces()) {
    for (auto it = user.references.begin(); it != user.references.end(); ++it) {
      if (it->target_piece != variable || &user == &graph.piece(variable)) {
        continue;
      }
      const auto call = std::find_if(it, user.references.end(), [](const Reference& reference) {
        return reference.is_branch;
      });
      if (!it->takes_address || call == user.references.end() || !is_one(name_of(graph, *call))) {
        return false;
      }
      goes = true;
    }
  }
  return goes;
}

// They ask whether a message is due (DEFINE_RATELIMIT_STATE).
bool limits(std::string_view function) { return function == "___ratelimit"; }

// They know who holds a lock, or who waits.
bool locks(std::string_view function) {
  constexpr std::array<std::string_view, 16> starts{
      "mutex_",    "_raw_spin_",      "_raw_read_",      "_raw_write_",    "down_",
      "up_",       "rt_mutex_lock",   "rt_mutex_unlock", "rt_spin_",       "__wake_up",
      "wake_up",   "prepare_to_wait", "finish_wait",     "add_wait_queue", "remove_wait_queue",
      "wait_woken"};
  return function == "down" || function == "up" ||
         std::ranges::any_of(starts, [&](auto start) { return function.starts_with(start); });
}

// What the callbacks name, and what they call.
std::set<std::int32_t> named_by_callbacks(const PieceGraph& graph, const Directives& directives) {
  std::set<std::int32_t> seen;
  std::vector<std::int32_t> work;
  for (const Directives::Callback& callback : directives.callbacks) {
    work.push_back(callback.function);
  }
  while (!work.empty()) {
    const std::int32_t index = work.back();
    work.pop_back();
    if (index >= 0 && seen.insert(index).second && graph.piece(index).kind == PieceKind::function) {
      for (const Reference& reference : graph.piece(index).references) {
        work.push_back(reference.target_piece);
      }
    }
  }
  return seen;
}

// The names that an object exports, and the licence that it asks of modules for each.
std::map<std::string_view, std::string_view> licences_of(const elf::ObjectFile& object) {
  std::map<std::string_view, std::string_view> out;
  for (const elf::Symbol& symbol : object.symbols()) {
    constexpr std::string_view old_prefix = "__ksymtab_";        // before Linux 6.4
    constexpr std::string_view new_prefix = "__export_symbol_";  // and since
    if (!symbol.defined()) {
      continue;
    }
    const elf::Section& section = object.sections()[symbol.section];
    if (symbol.name.starts_with(old_prefix)) {
      out[symbol.name.substr(old_prefix.size())] =
          section.name.starts_with("___ksymtab_gpl") ? "GPL" : "";
    } else if (symbol.name.starts_with(new_prefix)) {
      out[symbol.name.substr(new_prefix.size())] =
          read_cstr(section.data, symbol.value).value_or("");
    }
  }
  return out;
}

void note_exports(const PieceGraph& pre, const PieceGraph& post, ObjectDiff& out) {
  const auto before = licences_of(pre.object());
  const auto after = licences_of(post.object());
  const auto& still = out.correlation.elsewhere.still_exported;
  for (const auto& [name, licence] : after) {
    const auto old = before.find(name);
    if (old == before.end()) {
      if (!still.contains(name)) {
        out.add_note(fmt::format("the new export of {} is left out", name));
      }
    } else if (old->second != licence) {
      out.init_changed = true;
      out.add_note(
          fmt::format("which modules may use the export of {} stays as it is until the "
                      "next boot",
                      name));
    }
  }
  for (const auto& [name, licence] : before) {
    if (!after.contains(name) && !still.contains(name)) {
      out.add_note(fmt::format("{} stays exported until the next boot", name));
    }
  }
}

std::multiset<std::string_view> information_of(const elf::ObjectFile& object) {
  std::multiset<std::string_view> out;
  const elf::Section* section = object.section(".modinfo");
  for (std::uint64_t at = 0; section != nullptr && at < section->data.size();) {
    const std::string_view entry = read_cstr(section->data, at).value_or("");
    if (!entry.empty()) {
      out.insert(entry);
    }
    at += entry.size() + 1;
  }
  return out;
}

void note_information(const PieceGraph& pre, const PieceGraph& post, ObjectDiff& out) {
  const auto before = information_of(pre.object());
  const auto after = information_of(post.object());
  std::vector<std::string_view> changed;
  std::ranges::set_symmetric_difference(before, after, std::back_inserter(changed));
  if (changed.empty()) {
    return;
  }
  out.init_changed = true;
  out.add_note(fmt::format("what the module says of itself changes ({}{}): its file stays as it is",
                           changed.front(), changed.size() > 1 ? ", ..." : ""));
}

class LostState {
 public:
  LostState(const Side& pre, const Side& post, const NewGlobals& globals, ObjectDiff& out)
      : pre_(pre),
        post_(post),
        globals_(globals),
        out_(out),
        seen_to_(named_by_callbacks(post.graph, out.directives)) {
    for (std::size_t i = 0; i < post.graph.pieces().size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      if (is_writable_variable(post.graph, index) && is_fresh(index) &&
          !holds_nothing(post.graph.piece(index).name) &&
          !only_goes_to(post.graph, index, limits)) {
        fresh_.push_back({index, post.graph.piece(index).name, post.graph.piece(index).size});
      }
    }
  }

  void judge() {
    for (std::size_t i = 0; i < pre_.graph.pieces().size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      if (is_writable_variable(pre_.graph, index) && is_lost(index)) {
        judge(index);
      }
    }
  }

 private:
  struct Fresh {
    std::int32_t piece = -1;  // of post; -1 for another file's
    std::string_view name;
    std::uint64_t size = 0;
    std::string_view variable;  // where `name` is a function's
  };

  bool is_lost(std::int32_t index) const {
    const Piece& old = pre_.graph.piece(index);
    return !old.name.empty() && out_.correlation.post_of[static_cast<std::size_t>(index)] < 0 &&
           !holds_nothing(old.name) && !out_.correlation.elsewhere.gone.contains(index) &&
           !is_freed_section(pre_.graph.section_of(old).name);
  }

  bool is_fresh(std::int32_t index) const {
    const auto slot = static_cast<std::size_t>(index);
    return out_.correlation.pre_of[slot] < 0 && out_.fate[slot] == Fate::fresh;
  }

  // The functions that used it and are still there, as they are in post; and whether others did
  // that are gone. Who called one of these used it, too.
  std::pair<std::set<std::int32_t>, bool> users_of(std::int32_t lost) const {
    std::pair<std::set<std::int32_t>, bool> out;
    std::set<std::int32_t> seen{lost};
    std::vector<std::int32_t> work{lost};
    while (!work.empty()) {
      const std::int32_t used = work.back();
      work.pop_back();
      for (std::size_t i = 0; i < pre_.graph.pieces().size(); ++i) {
        const Piece& user = pre_.graph.pieces()[i];
        const auto index = static_cast<std::int32_t>(i);
        if (user.kind != PieceKind::function || seen.contains(index) ||
            is_freed_section(pre_.graph.section_of(user).name) ||
            std::ranges::find(user.references, used, &Reference::target_piece) ==
                user.references.end()) {
          continue;
        }
        seen.insert(index);
        if (const std::int32_t now = out_.correlation.post_of[i]; now >= 0) {
          out.first.insert(now);
        } else {
          out.second = true;
          work.push_back(index);
        }
      }
    }
    return out;
  }

  // By itself, or by a new function that it calls.
  bool uses(std::int32_t user, const Fresh& fresh) const {
    std::set<std::int32_t> seen;
    std::vector<std::int32_t> work{user};
    while (!work.empty()) {
      const std::int32_t index = work.back();
      work.pop_back();
      if (!seen.insert(index).second) {
        continue;
      }
      for (const Reference& reference : post_.graph.piece(index).references) {
        const std::int32_t target = reference.target_piece;
        if (fresh.piece >= 0 ? target == fresh.piece
                             : target < 0 && name_of(post_.graph, reference) == fresh.name) {
          return true;
        }
        if (target >= 0 && reference.is_branch && is_fresh(target)) {
          work.push_back(target);
        }
      }
    }
    return false;
  }

  void judge(std::int32_t index) {
    std::vector<Fresh> candidates = fresh_;
    for (const auto& [name, global] : globals_) {
      candidates.push_back({-1, name, global.size, global.variable});
    }
    const auto [users, others] = users_of(index);
    for (const Fresh& fresh : candidates) {
      if (takes_the_place(index, users, others, fresh)) {
        tell(pre_.graph.piece(index).name, fresh);
        return;
      }
    }
  }

  bool takes_the_place(std::int32_t old, const std::set<std::int32_t>& users, bool others,
                       const Fresh& fresh) const {
    const Piece& lost = pre_.graph.piece(old);
    if (fresh.piece >= 0 &&
        only_goes_to(pre_.graph, old, locks) != only_goes_to(post_.graph, fresh.piece, locks)) {
      return false;
    }
    if (std::ranges::any_of(users, [&](std::int32_t user) { return uses(user, fresh); })) {
      return true;
    }
    if (fresh.piece < 0 || fresh.size != lost.size) {
      return false;
    }
    // Other files may use a global one. Flags and counters of a few bytes come and go with the
    // functions that used them.
    const bool both_global = lost.global && post_.graph.piece(fresh.piece).global;
    return both_global || (users.empty() && others && lost.size >= sizeof(void*));
  }

  void tell(std::string_view lost, const Fresh& fresh) {
    if (fresh.piece >= 0 && seen_to_.contains(fresh.piece)) {
      out_.add_note(
          fmt::format("{} takes the place of {}: what that holds is for the callback to "
                      "hand on",
                      fresh.name, lost));
      return;
    }
    out_.refusals.push_back(
        Error{Code::data_changed, std::string(fresh.variable.empty() ? fresh.name : fresh.variable),
              fmt::format("it takes the place of {}, and what the running kernel keeps there would "
                          "be lost",
                          lost),
              "keep the variable's name and type, or hand its contents on in a callback of the "
              "patch (SUTURE_PRE_PATCH)"});
  }

  const Side& pre_;
  const Side& post_;
  const NewGlobals& globals_;
  ObjectDiff& out_;
  const std::set<std::int32_t> seen_to_;
  std::vector<Fresh> fresh_;
};

}  // namespace

void judge_lost_state(const Side& pre, const Side& post, const NewGlobals& globals,
                      ObjectDiff& out) {
  LostState(pre, post, globals, out).judge();
}

NewGlobals new_globals(const PieceGraph& post, const ObjectDiff& diff) {
  NewGlobals out;
  const auto is_new = [&](std::int32_t index) {
    const auto slot = static_cast<std::size_t>(index);
    return diff.correlation.pre_of[slot] < 0 && diff.fate[slot] == Fate::fresh;
  };
  // The first new variable that a piece is, or uses by itself or by new functions.
  const auto variable_of = [&](std::int32_t first) -> const Piece* {
    std::set<std::int32_t> seen;
    std::vector<std::int32_t> work{first};
    while (!work.empty()) {
      const std::int32_t index = work.back();
      work.pop_back();
      if (index < 0 || !is_new(index) || !seen.insert(index).second) {
        continue;
      }
      const Piece& piece = post.piece(index);
      if (is_writable_variable(post, index) && !holds_nothing(piece.name)) {
        return &piece;
      }
      for (const Reference& reference : piece.references) {
        work.push_back(reference.target_piece);
      }
    }
    return nullptr;
  };
  for (std::size_t i = 0; i < post.pieces().size(); ++i) {
    const auto index = static_cast<std::int32_t>(i);
    const Piece& piece = post.piece(index);
    if (const Piece* variable = piece.global && is_new(index) ? variable_of(index) : nullptr) {
      out.emplace(piece.name, NewGlobal{.variable = variable->name, .size = variable->size});
    }
  }
  return out;
}

void note_what_stays_beside_code(const Side& pre, const Side& post, ObjectDiff& out) {
  note_exports(pre.graph, post.graph, out);
  note_information(pre.graph, post.graph, out);
  note_lengths_of_onces(pre.graph, post.graph, out);
}

std::set<std::string_view> exports_of(const elf::ObjectFile& object) {
  std::set<std::string_view> out;
  for (const auto& [name, licence] : licences_of(object)) {
    out.insert(name);
  }
  return out;
}

}  // namespace suture::diff
