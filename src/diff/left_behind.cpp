// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a diff can change what no instruction shows. A variable that gets another name is a new
// one, and what the running one holds is lost: a list of what is registered would be empty. Exports
// lie in sorted tables of the kernel, and what a module says of itself in its file.
//
// Method: a function that goes in used a writable variable that is gone, and now uses a new one of
// the same size: then the one took the place of the other. So did a global one. Exports and
// .modinfo are compared as sets.
//
// Invariants: flags that only remember that a message was printed may start anew.
#include "diff/left_behind.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace suture::diff {

namespace {

void add_note(ObjectDiff& out, std::string text) {
  if (std::ranges::find(out.notes, text) == out.notes.end()) {
    out.notes.push_back(std::move(text));
  }
}

bool is_writable_variable(const PieceGraph& graph, std::int32_t index) {
  const Piece& piece = graph.piece(index);
  return piece.kind == PieceKind::data && (graph.section_of(piece).flags & SHF_WRITE) != 0 &&
         !is_copyable(graph, piece);
}

std::set<std::int32_t> variables_of(const PieceGraph& graph, std::int32_t user) {
  std::set<std::int32_t> out;
  for (const Reference& reference : graph.piece(user).references) {
    if (reference.target_piece >= 0 && is_writable_variable(graph, reference.target_piece)) {
      out.insert(reference.target_piece);
    }
  }
  return out;
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
        add_note(out, fmt::format("the new export of {} is left out", name));
      }
    } else if (old->second != licence) {
      out.init_changed = true;
      add_note(out, fmt::format("which modules may use the export of {} stays as it is until the "
                                "next boot",
                                name));
    }
  }
  for (const auto& [name, licence] : before) {
    if (!after.contains(name) && !still.contains(name)) {
      add_note(out, fmt::format("{} stays exported until the next boot", name));
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
  add_note(out,
           fmt::format("what the module says of itself changes ({}{}): its file stays as it is",
                       changed.front(), changed.size() > 1 ? ", ..." : ""));
}

}  // namespace

namespace {

class LostState {
 public:
  LostState(const Side& pre, const Side& post, ObjectDiff& out)
      : pre_(pre),
        post_(post),
        out_(out),
        seen_to_(named_by_callbacks(post.graph, out.directives)) {}

  void judge() {
    for (std::size_t user = 0; user < out_.fate.size(); ++user) {
      if (out_.fate[user] == Fate::changed && out_.correlation.pre_of[user] >= 0) {
        compare(variables_of(pre_.graph, out_.correlation.pre_of[user]),
                variables_of(post_.graph, static_cast<std::int32_t>(user)));
      }
    }
    // Other files may be who uses these.
    compare(globals_of(pre_.graph), globals_of(post_.graph));
  }

 private:
  static std::set<std::int32_t> globals_of(const PieceGraph& graph) {
    std::set<std::int32_t> out;
    for (std::size_t i = 0; i < graph.pieces().size(); ++i) {
      const auto index = static_cast<std::int32_t>(i);
      if (graph.piece(index).global && is_writable_variable(graph, index)) {
        out.insert(index);
      }
    }
    return out;
  }

  bool is_lost(std::int32_t index) const {
    const Piece& old = pre_.graph.piece(index);
    return out_.correlation.post_of[static_cast<std::size_t>(index)] < 0 &&
           !may_start_anew(base_name(old.name)) &&
           !out_.correlation.elsewhere.gone.contains(index) &&
           !is_freed_section(pre_.graph.section_of(old).name);
  }

  bool is_fresh(std::int32_t index) const {
    const auto slot = static_cast<std::size_t>(index);
    return out_.correlation.pre_of[slot] < 0 && out_.fate[slot] == Fate::fresh;
  }

  void compare(const std::set<std::int32_t>& before, const std::set<std::int32_t>& after) {
    for (std::int32_t lost : before) {
      for (std::int32_t fresh : after) {
        if (is_lost(lost) && is_fresh(fresh) &&
            pre_.graph.piece(lost).size == post_.graph.piece(fresh).size &&
            told_.insert(fresh).second) {
          tell(pre_.graph.piece(lost).name, fresh);
        }
      }
    }
  }

  void tell(std::string_view lost, std::int32_t fresh) {
    const std::string name(post_.graph.piece(fresh).name);
    if (seen_to_.contains(fresh)) {
      add_note(out_, fmt::format("{} takes the place of {}: what that holds is for the callback to "
                                 "hand on",
                                 name, lost));
    } else {
      out_.refusals.push_back(
          Error{Code::data_changed, name,
                fmt::format("it takes the place of {}, and what the running kernel keeps there "
                            "would be lost",
                            lost),
                "keep the variable's name, or hand its contents on in a callback of the patch "
                "(SUTURE_PRE_PATCH)"});
    }
  }

  const Side& pre_;
  const Side& post_;
  ObjectDiff& out_;
  const std::set<std::int32_t> seen_to_;
  std::set<std::int32_t> told_;
};

}  // namespace

void judge_lost_state(const Side& pre, const Side& post, ObjectDiff& out) {
  LostState(pre, post, out).judge();
}

void note_what_stays_beside_code(const Side& pre, const Side& post, ObjectDiff& out) {
  note_exports(pre.graph, post.graph, out);
  note_information(pre.graph, post.graph, out);
}

std::set<std::string_view> exports_of(const elf::ObjectFile& object) {
  std::set<std::string_view> out;
  for (const auto& [name, licence] : licences_of(object)) {
    out.insert(name);
  }
  return out;
}

}  // namespace suture::diff
