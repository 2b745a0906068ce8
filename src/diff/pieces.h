// SPDX-License-Identifier: GPL-2.0-or-later
//
// An object file as a graph of pieces: every function, variable and string is a node, every
// relocation an edge. The differ compares two such graphs, and the module writer copies nodes out
// of one, so neither has to know how the assembler laid the object out.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "elf/arch.h"
#include "elf/object.h"

namespace suture::diff {

enum class PieceKind : std::uint8_t {
  function,  // code with a name of its own, `.cold` parts included
  data,      // a variable, or a whole section of data without symbols
  string,    // one NUL-terminated string of a mergeable section
  constant,  // one entry of another mergeable section, or one string of wide characters
  blob,      // code without symbols: alternatives' replacements and the like
};

// A relocation, or a branch that the assembler resolved, in terms of pieces.
struct Reference {
  std::uint64_t offset = 0;        // of the field, from the start of the piece
  std::uint32_t type = 0;          // R_*
  std::int32_t target_piece = -1;  // or -1: an undefined symbol, see `symbol`
  std::uint32_t symbol = 0;        // the object's symbol that was named
  std::int64_t target_offset = 0;  // what is really pointed at, from the start of the target
  std::int32_t bias = 0;           // end of the instruction minus field, of a PC-relative field in
                                   // code; the addend to write is target_offset - bias
  bool is_branch = false;          // a direct call or jump (as against an address taken)
  bool synthetic = false;          // made from a branch without a relocation
  bool takes_address = false;      // the address itself is used or kept, not only what lies there
  bool by_section = false;  // the object names a section and a place in it, and the place may
                            // be the end of one variable, the start of the next, or short
                            // of one by what a register adds
};

struct Piece {
  PieceKind kind = PieceKind::data;
  std::string_view name;     // the symbol's; empty for anonymous pieces
  std::uint32_t symbol = 0;  // its symbol in the object, 0 for anonymous pieces
  std::uint32_t section = 0;
  std::uint64_t offset = 0;  // in the section
  std::uint64_t size = 0;
  std::uint64_t prefix = 0;  // bytes before `offset` that belong to the function: room that the
                             // kernel may write to at run time (`__pfx_` symbols)
  bool global = false;
  std::vector<Reference> references;   // by offset
  std::vector<std::uint32_t> aliases;  // further symbols at the same place
};

class PieceGraph {
 public:
  // `object` must outlive the graph. special-section where code or relocations are of a kind that
  // is not understood.
  static Result<PieceGraph> build(const elf::ObjectFile& object, const elf::Arch& arch);

  const elf::ObjectFile& object() const { return *object_; }
  const elf::Arch& arch() const { return *arch_; }
  const std::vector<Piece>& pieces() const { return pieces_; }
  const Piece& piece(std::int32_t index) const {
    return pieces_.at(static_cast<std::size_t>(index));
  }
  // The bytes of a piece; none for .bss.
  ByteView bytes(const Piece& piece) const;
  ByteView prefix_bytes(const Piece& piece) const;
  const elf::Section& section_of(const Piece& piece) const;
  // The piece that holds `offset` of a section (its end counts as inside where nothing else starts
  // there), or -1.
  std::int32_t find(std::uint32_t section, std::uint64_t offset) const;
  // The variables that end where the piece starts, or start where it ends; -1 for none.
  std::pair<std::int32_t, std::int32_t> neighbours(std::int32_t index) const;
  // Resolves a relocation of a table section (not code: no bias).
  Reference resolve(const elf::Relocation& relocation) const;

 private:
  void split_section(std::uint32_t section, std::vector<std::uint32_t> symbols);
  void split_mergeable(std::uint32_t section);
  void split_blobs(std::uint32_t section);
  Status connect(Piece& piece);

  const elf::ObjectFile* object_ = nullptr;
  const elf::Arch* arch_ = nullptr;
  std::vector<Piece> pieces_;
  std::vector<std::vector<std::int32_t>> by_section_;  // piece numbers by offset
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t>
      prefixes_;  // by section and entry
};

// What a symbol is called that names the room before a function's entry.
inline constexpr std::string_view prefix_symbol = "__pfx_";

// Sections that are tables about code or build-time notes, and so no pieces: their entries follow
// the code that they describe (tables.h).
bool is_table_section(const elf::Arch& arch, std::string_view name);
// Sections that the kernel frees after boot, or that only matter while it loads or unloads.
bool is_freed_section(std::string_view name);
// Those of them that only matter while the kernel or a module unloads. vmlinux never does.
bool is_exit_section(std::string_view name);
// Those of both, and the tables that the kernel reads as a whole when it boots or loads a module:
// an entry in a patch module would mean nothing, or another thing. Two of them it also reads later,
// and they are compared apart (btf_lists.h, gathered_lists.h).
bool is_init_section(std::string_view name);
// A module's first and last function have a second name that is the same for every module; this is
// the other one.
std::string_view authors_name(const PieceGraph& graph, const Piece& piece);
// What a reference names: a symbol that the object does not define has no piece.
std::string_view name_of(const PieceGraph& graph, const Reference& reference);
// That name of the piece is visible to other files.
bool has_global_name(const PieceGraph& graph, const Piece& piece, std::string_view name);
// Sections of which every CPU has a copy of its own.
bool is_per_cpu_section(std::string_view name);
// Sections of flags that macros make, each used by itself: a place there is the start of one, never
// the end of what lies before it.
bool is_flag_section(std::string_view name);

// "warned.11" → "warned", "__UNIQUE_ID_ddebug963.8" → "__UNIQUE_ID_ddebug": the name without the
// numbers that the compiler counts up; a function's ".isra.0" and ".cold" stay.
std::string base_name(std::string_view name);

}  // namespace suture::diff
