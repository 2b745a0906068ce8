// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/placing.h"

#include <fmt/format.h>

#include <algorithm>

#include "module/metadata.h"

namespace suture::module {

using diff::Piece;
using diff::PieceGraph;

Status Placing::add_input(const LinkInput& input, const LateKeys& keys) {
  Source source{.graph = &input.post->graph, .tables = &input.post->tables, .input = &input};
  source.late.resize(source.graph->pieces().size());
  auto wanted = [&](std::size_t piece) { return input.diff->fate[piece] != diff::Fate::out; };
  for (std::size_t i = 0; i < source.late.size(); ++i) {
    if (wanted(i)) {
      source.late[i] = TRY(keys.of(input, static_cast<std::int32_t>(i)));
    }
  }
  place(std::move(source), wanted);
  return {};
}

void Placing::add_glue(const PieceGraph& graph, const diff::CodeTables& tables, bool with_exit) {
  Source source{.graph = &graph, .tables = &tables};
  source.late.resize(graph.pieces().size());
  // What the glue only says to the writer stays behind.
  place(std::move(source), [&](std::size_t piece) {
    const std::string& section = graph.section_of(graph.pieces()[piece]).name;
    return !section.starts_with(".suture.") && (with_exit || !section.starts_with(".exit"));
  });
}

template <class Wanted>
void Placing::place(Source source, Wanted wanted) {
  source.places.resize(source.graph->pieces().size());
  for (std::size_t i = 0; i < source.places.size(); ++i) {
    if (!wanted(i)) {
      continue;
    }
    const Piece& piece = source.graph->pieces()[i];
    source.places[i] = place_piece(source, i);
    if (piece.global && source.input == nullptr) {
      globals_.try_emplace(std::string(piece.name), source.places[i]);
    }
  }
  sources_.push_back(std::move(source));
}

namespace {

// The loader knows one section of per-CPU data in a module, by its name; the kernel's linker merges
// the others into it.
std::string output_name(const std::string& section) {
  return diff::is_per_cpu_section(section) ? ".data..percpu" : section;
}

std::string symbol_name(const Source& source, std::size_t index) {
  const Piece& piece = source.graph->pieces()[index];
  const bool takes_a_place = source.input != nullptr && piece.kind == diff::PieceKind::function &&
                             diff::replaces(source.input->diff->fate[index]);
  return fmt::format("{}{}", piece.name, takes_a_place ? patched_suffix : "");
}

}  // namespace

Place Placing::place_piece(const Source& source, std::size_t index) {
  const PieceGraph& graph = *source.graph;
  const Piece& piece = graph.pieces()[index];
  const LateSites& late = source.late[index];
  const elf::Section& from = graph.section_of(piece);
  std::uint64_t alignment = from.alignment;
  std::uint64_t start = piece.offset - piece.prefix;
  if (start != 0) {
    alignment = std::min(alignment, start & (~start + 1));
  }
  std::int32_t section =
      assembly_.section(output_name(from.name), from.type == SHT_NOBITS ? SHT_NOBITS : SHT_PROGBITS,
                        from.flags & (SHF_ALLOC | SHF_WRITE | SHF_EXECINSTR), alignment);
  ByteView prefix = graph.prefix_bytes(piece);
  ByteView bytes = graph.bytes(piece);
  Bytes own(bytes.begin(), bytes.end());
  late.write(own, graph.arch());
  const std::uint64_t size = piece.size + late.size();
  Bytes whole(prefix.begin(), prefix.end());
  whole.insert(whole.end(), own.begin(), own.end());
  Place out = assembly_.append(section, whole, piece.prefix + size, alignment);
  if (piece.prefix != 0) {
    assembly_.add_symbol(std::string(diff::prefix_symbol) + std::string(piece.name), out,
                         piece.prefix, STT_FUNC);
    out.offset += piece.prefix;
  }
  if (!piece.name.empty()) {
    assembly_.add_symbol(symbol_name(source, index), out, size,
                         piece.kind == diff::PieceKind::function ? STT_FUNC : STT_OBJECT);
  }
  return out;
}

}  // namespace suture::module
