// SPDX-License-Identifier: GPL-2.0-or-later
//
// The differ: which functions of an object mean something else after the patch, and what has to go
// into the patch module for them.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "diff/directives.h"
#include "diff/pieces.h"
#include "diff/tables.h"

namespace suture::diff {

struct Side;

// What the kernel runs for a post piece, where that is not this file's own pre piece.
struct Origin {
  std::optional<std::size_t> file;  // whose pre piece it is, by number; nothing: no file's of the
                                    // patch, and the running object has it by its name
  const Side* pre = nullptr;        // that file's
  std::int32_t piece = -1;          // of it
  bool replaced = false;            // by the post piece, a function; else it stays
  bool global = false;              // other files meant it by its name before
};

// What else the object's files have to do with this one (module/moves.h).
struct Elsewhere {
  std::map<std::int32_t, Origin> origins;     // by post piece
  std::set<std::int32_t> gone;                // pre pieces that other files' post pieces go on with
  std::set<std::string_view> still_exported;  // by the object: before and after, whichever file
};

// Which pre piece each post piece is, by number, or -1 for what is new; and the reverse.
struct Correlation {
  std::vector<std::int32_t> pre_of;
  std::vector<std::int32_t> post_of;
  // Post pieces that could be any of several pre pieces: using one is symbol-ambiguous.
  std::vector<bool> ambiguous;
  Elsewhere elsewhere;
};

enum class Fate : std::uint8_t {
  out,      // stays in the kernel, or is not needed
  changed,  // replaces a function of the kernel
  moved,    // the same, of one that another file defined
  fresh,    // new code or data, or a private copy of constant data
};

// A function of that fate takes the place of a running one.
constexpr bool replaces(Fate fate) { return fate == Fate::changed || fate == Fate::moved; }

struct ObjectDiff {
  Correlation correlation;
  std::vector<Fate> fate;           // per post piece
  Directives directives;            // what post says to Suture
  std::vector<std::string> notes;   // what was seen and left out, for people
  std::vector<Error> refusals;      // why this object cannot be patched; empty when it can
  bool init_changed = false;        // something that only runs at boot or load changed
  bool only_boot_changed = false;   // all that is replaced is called by nothing but the boot
  void add_note(std::string text);  // once
  bool any_changed() const;         // a function is replaced, or a callback added
  bool takes_anything() const;      // changed or fresh
};

// What an object becomes part of: exit code only ever runs of modules.
enum class Home : std::uint8_t { vmlinux, module };

struct Side {
  const PieceGraph& graph;
  const CodeTables& tables;
};

// Every name that is one piece's alone, aliases included, and that piece.
using NameMap = std::map<std::pair<PieceKind, std::string_view>, std::int32_t>;
NameMap names_of(const PieceGraph& graph);

Correlation correlate(const Side& pre, const Side& post);

// Static locals (by base name) whose only job is to be distinct or to remember that a message was
// printed: a new one does no harm.
bool may_start_anew(std::string_view base);

// Two functions or variables mean the same: same bytes, same references in terms of the
// correlation, same table entries.
bool equal(const Side& pre, const Side& post, const Correlation& correlation,
           std::int32_t pre_piece, std::int32_t post_piece);

// What is read from where the reference points, where that is a string: strings may be merged with
// others' ends.
std::optional<std::string_view> text_at(const PieceGraph& graph, const Reference& reference);

// Constant data without identity: a copy of it in the module serves as well as the original.
bool is_copyable(const PieceGraph& graph, const Piece& piece);

// What a function that the object only names does with an address that it is given.
using OutsideFate =
    std::function<elf::AddressFate(std::string_view function, elf::AddressArguments arguments)>;

// `directives` are post's, with what the manifest adds; `outside` is asked about the code that pre
// and post call and the running kernel has.
ObjectDiff compare(const Side& pre, const Side& post, Home home, Directives directives,
                   const OutsideFate& outside, Elsewhere elsewhere = {});

}  // namespace suture::diff
