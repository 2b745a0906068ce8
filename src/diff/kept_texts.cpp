// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: kfree_const() frees all that is not in the image's .rodata. A function of vmlinux that
// keeps the address of one of its texts is safe there. The patch's copy of the function has a copy
// of the text, which lies in a module's memory, and would be freed as if it had been allocated. The
// line with the text need not be touched by the diff.
//
// Method: only files are looked at that name a function which goes by where a text lies. In those,
// each function that goes in is followed with the texts that it names (diff::AddressWatch), and
// with what is read from new tables of texts.
//
// Invariant: doubt refuses, but for calls by pointers: those print what they are given, or copy it.
// What copies a text that is not the image's own does no harm.
#include "diff/kept_texts.h"

#include <fmt/format.h>

#include <algorithm>

#include "diff/address_watch.h"

namespace suture::diff {

namespace {

// Gives back the image's texts, and copies of others.
bool copies_by_place(std::string_view function) {
  return function == "kstrdup_const" || function == "devm_kstrdup_const" ||
         function == "kvasprintf_const";
}

// What the object has, or asks for, that frees by where a text lies, or else gives out texts for
// that; empty where there is nothing.
std::string_view goes_by_place(const elf::ObjectFile& object) {
  std::string_view out;
  for (const elf::Symbol& symbol : object.symbols()) {
    if (symbol.name == "kfree_const" || (out.empty() && symbol.name == "kstrdup_const")) {
      out = symbol.name;
    }
  }
  return out;
}

// On one line.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    out += c == '\n' ? "\\n" : std::string(1, c);
  }
  return out + '"';
}

class Search {
 public:
  Search(const Side& post, const OutsideFate& outside,
         const std::function<bool(std::string_view)>& exported, const ObjectDiff& diff)
      : graph_(post.graph),
        diff_(diff),
        exported_(exported),
        outside_([&](std::string_view name, elf::AddressArguments arguments) {
          const elf::AddressFate fate =
              copies_by_place(name) ? elf::AddressFate::stays : outside(name, arguments);
          return fate == elf::AddressFate::leaves && exported(name) ? elf::AddressFate::stays
                                                                    : fate;
        }),
        watch_(post, outside_) {}

  // Who keeps a text, and one of those that it keeps: nothing where that is read from a table.
  std::map<std::int32_t, std::optional<std::string_view>> run() {
    std::map<std::int32_t, std::optional<std::string_view>> out;
    for (std::size_t i = 0; i < diff_.fate.size(); ++i) {
      const Piece& piece = graph_.pieces()[i];
      if (diff_.fate[i] == Fate::out || piece.kind != PieceKind::function) {
        continue;
      }
      const std::int32_t owner = watch_.owner_of(static_cast<std::int32_t>(i));
      for (const Reference& reference : piece.references) {
        if (!out.contains(owner) && keeps(owner, reference)) {
          out.emplace(owner, text_at(graph_, reference));
        }
      }
    }
    return out;
  }

 private:
  bool keeps(std::int32_t function, const Reference& named) {
    const bool text = text_at(graph_, named).has_value();
    if (!text && !is_new_table(named)) {
      return false;
    }
    const AddressWatch::Held held{
        .in = [&](const Reference& field) { return field.target_piece == named.target_piece; },
        .variable = text ? -1 : named.target_piece,
        .contents = !text,
        .forgets_pushed = exported_,
        .pointers_forget = true};
    return watch_.leak(held, {function}).has_value();
  }

  // Data of the patch's own that holds addresses of texts.
  bool is_new_table(const Reference& named) const {
    const auto target = static_cast<std::size_t>(named.target_piece);
    if (named.target_piece < 0 || diff_.fate[target] == Fate::out) {
      return false;
    }
    const Piece& data = graph_.piece(named.target_piece);
    return data.kind == PieceKind::data &&
           std::ranges::any_of(data.references, [&](const Reference& member) {
             return text_at(graph_, member).has_value();
           });
  }

  const PieceGraph& graph_;
  const ObjectDiff& diff_;
  const std::function<bool(std::string_view)>& exported_;
  OutsideFate outside_;
  AddressWatch watch_;
};

}  // namespace

void judge_kept_texts(const Side& pre, const Side& post, Home home, const OutsideFate& outside,
                      const std::function<bool(std::string_view)>& exported, ObjectDiff& diff) {
  std::string_view by = goes_by_place(pre.graph.object());
  by = by.empty() ? goes_by_place(post.graph.object()) : by;
  if (home != Home::vmlinux || by.empty()) {
    return;
  }
  for (const auto& [function, text] : Search(post, outside, exported, diff).run()) {
    diff.refusals.push_back(Error{
        Code::special_section, std::string(authors_name(post.graph, post.graph.piece(function))),
        fmt::format("it keeps the address of {}, and this file goes by where a text lies "
                    "({}): the patch's copy lies in a module's memory, and the kernel may "
                    "free it as if it had been allocated",
                    text ? "the text " + quoted(*text) : "a text of a table", by),
        "make the change in a function that keeps no text, or give on a copy (kstrdup)"});
  }
}

}  // namespace suture::diff
