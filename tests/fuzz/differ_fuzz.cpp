// SPDX-License-Identifier: GPL-2.0-or-later
//
// The differ on damaged objects: pre and post are compiled from differ/pre.c and differ/post.c, the
// first byte says which of the two (or both) the rest damages. What the graph, the tables and the
// comparison give must stay inside the object.
#include <cstdlib>

#include "diff/diff.h"
#include "elf/arch.h"
#include "support/damage.h"
#include "support/patches.h"

namespace {

using namespace suture;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

Bytes compiled(const char* name) {
  auto bytes = read_bytes(fs::path(SUTURE_FUZZ_OBJECTS) / name);
  require(bytes.has_value());
  return std::move(*bytes);
}

const test::Damageable& pre_object() {
  static const test::Damageable object(compiled("pre.o"));
  return object;
}

const test::Damageable& post_object() {
  static const test::Damageable object(compiled("post.o"));
  return object;
}

const test::Damageable& picked(std::uint8_t pick) {
  return (pick & 1) != 0 ? pre_object() : post_object();
}

diff::TableSizes table_sizes() {
  return {{"bug_entry", 12}, {"alt_instr", 12}, {"exception_table_entry", 12}, {"jump_entry", 16}};
}

// One side, with all that it points into. Not moved once it is built.
struct Object {
  elf::ObjectFile file;
  diff::PieceGraph graph;
  diff::CodeTables tables;

  bool read(Bytes bytes) {
    auto parsed = elf::ObjectFile::parse(std::move(bytes), "fuzz");
    const elf::Arch* arch = parsed ? elf::arch_of(parsed->machine()) : nullptr;
    if (arch == nullptr) {
      return false;
    }
    file = std::move(*parsed);
    auto built = diff::PieceGraph::build(file, *arch);
    if (!built) {
      return false;
    }
    graph = std::move(*built);
    auto read = diff::CodeTables::build(graph, table_sizes());
    if (!read) {
      return false;
    }
    tables = std::move(*read);
    return true;
  }
};

void walk(const Object& object) {
  const auto count = static_cast<std::int32_t>(object.graph.pieces().size());
  std::size_t sum = 0;
  for (std::int32_t i = 0; i < count; ++i) {
    const diff::Piece& piece = object.graph.piece(i);
    for (std::uint8_t byte : object.graph.bytes(piece)) {
      sum += byte;
    }
    for (const diff::Reference& reference : piece.references) {
      require(reference.target_piece < count);
      require(reference.symbol < object.file.symbols().size());
    }
    for (const diff::TableEntry& entry : object.tables.of(i)) {
      require(entry.offset + entry.size <= object.file.sections().at(entry.section).size);
    }
    for (const diff::OrcRow& row : object.tables.orc(i)) {
      sum += row.entry.empty() ? 0 : row.entry.back();
    }
  }
  volatile std::size_t sink = sum;  // so that the reads stay
  (void)sink;
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed) {
  return test::add_damage_to_picked(picked, data, size, most, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  // Undamaged ones must come all the way through, or nothing below is reached.
  const bool undamaged = (data[0] & 3) == 0;
  const ByteView rest = ByteView(data, size).subspan(1);
  Object pre;
  Object post;
  if (!pre.read((data[0] & 1) != 0 ? test::patched(pre_object().file, rest) : pre_object().file) ||
      !post.read((data[0] & 2) != 0 ? test::patched(post_object().file, rest)
                                    : post_object().file)) {
    require(!undamaged);
    return 0;
  }
  walk(pre);
  walk(post);
  auto directives = diff::read_directives(post.graph);
  if (!directives) {
    require(!undamaged);
    return 0;
  }
  const diff::ObjectDiff found = diff::compare(
      {pre.graph, pre.tables}, {post.graph, post.tables}, diff::Home::module,
      std::move(*directives),
      [](std::string_view, elf::AddressArguments) { return elf::AddressFate::leaves; });
  require(found.fate.size() == post.graph.pieces().size());
  require(!undamaged || (found.any_changed() && found.refusals.empty()));
  return 0;
}
