// SPDX-License-Identifier: GPL-2.0-or-later
#include "diff/directives.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace suture::diff {

namespace {

constexpr std::string_view start = ".suture.";
constexpr std::array<std::string_view, 4> callback_kinds{"pre_patch", "post_patch", "pre_unpatch",
                                                         "post_unpatch"};
// struct suture_state: id, version, padding; struct suture_word: two strings.
constexpr std::uint64_t state_size = 16;
constexpr std::uint64_t string_size = 128;

std::unexpected<Error> misused(std::string_view section, std::string reason) {
  return fail(Code::bad_manifest, std::string(section), std::move(reason),
              "use the macros of suture.h as they are described there");
}

class Reader {
 public:
  explicit Reader(const PieceGraph& graph) : graph_(graph) {}

  Result<Directives> run() {
    for (const Piece& piece : graph_.pieces()) {
      const std::string& section = graph_.section_of(piece).name;
      if (!is_directive_section(section)) {
        continue;
      }
      const std::string_view what = std::string_view(section).substr(start.size());
      if (std::ranges::find(callback_kinds, what) != callback_kinds.end()) {
        TRY(read_callback(section, piece));
      } else if (what == "states") {
        TRY(read_states(section, graph_.bytes(piece)));
      } else if (what == "ignored") {
        TRY(read_words(section, graph_.bytes(piece), out_.ignored));
      } else if (what == "taken_back") {
        TRY(read_words(section, graph_.bytes(piece), out_.taken_back));
      } else {
        return misused(section, "it is nothing that suture.h makes");
      }
    }
    return std::move(out_);
  }

 private:
  Status read_callback(const std::string& section, const Piece& piece) {
    const std::string_view kind = std::string_view(section).substr(start.size());
    const bool one = piece.references.size() == 1 && piece.references[0].target_piece >= 0 &&
                     piece.references[0].target_offset == 0 && piece.size == 8 &&
                     graph_.piece(piece.references[0].target_piece).kind == PieceKind::function;
    if (!one) {
      return misused(section, "a callback is one function that this file defines");
    }
    if (std::ranges::find(out_.callbacks, kind, &Directives::Callback::kind) !=
        out_.callbacks.end()) {
      return fail(
          Code::callback_conflict, section,
          fmt::format("the file states two {} callbacks, and its object can have one", kind),
          "call both functions from one callback");
    }
    out_.callbacks.push_back({kind, piece.references[0].target_piece});
    return {};
  }

  Status read_states(const std::string& section, ByteView bytes) {
    for (std::uint64_t at = 0; at < bytes.size(); at += state_size) {
      auto id = read_le<std::uint64_t>(bytes, at);
      auto version = read_le<std::uint32_t>(bytes, at + 8);
      if (!id || !version || *id == 0) {
        return misused(section, "a state has an id, which is not 0, and a version");
      }
      out_.states.push_back({*id, *version});
    }
    return {};
  }

  static Status read_words(const std::string& section, ByteView bytes,
                           std::vector<Directives::Ignored>& out) {
    for (std::uint64_t at = 0; at < bytes.size(); at += 2 * string_size) {
      auto entry = slice(bytes, at, 2 * string_size);
      auto name = entry ? read_cstr(entry->first(string_size), 0) : std::nullopt;
      auto reason = entry ? read_cstr(entry->subspan(string_size), 0) : std::nullopt;
      if (!name || name->empty() || !reason || reason->empty()) {
        return misused(section, "what is said of something has its name and a reason");
      }
      out.push_back({std::string(*name), std::string(*reason)});
    }
    return {};
  }

  const PieceGraph& graph_;
  Directives out_;
};

}  // namespace

bool is_directive_section(std::string_view name) { return name.starts_with(start); }

Result<Directives> read_directives(const PieceGraph& post) { return Reader(post).run(); }

}  // namespace suture::diff
