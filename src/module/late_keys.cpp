// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: the loader reads __jump_table and .static_call_sites of a patch module when it loads it,
// and rewrites code by what it finds there. A key that belongs to a module has no address yet then.
//
// Method: use what the kernel keeps right without a table. arch_static_call_transform() rewrites a
// static call's trampoline on every update, so a call that has no entry calls the right function,
// or returns at once where there is none. static_key.enabled, the first member, is what
// jump_label_type() decides by when it rewrites a site: not zero counts as enabled, even while an
// update is under way (-1), and the branch is taken if that differs from the entry's lowest bit. A
// stub asks it each time. The kernel publishes what a key guards before it enables the key, and
// waits for readers after it disabled it, so a stub that sees the change a little before or after
// other sites do is one more site among those that are rewritten one after another.
//
// Invariants: a stub changes nothing but the flags, which an asm statement on x86 clobbers, and
// never the stack. No other instruction starts inside a site. What is bound in time (vmlinux,
// exports, keys that the patch adds) keeps its entry and is untouched.
#include "module/late_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace suture::module {

namespace {

using diff::Piece;
using diff::Reference;

constexpr std::int64_t key_flags = 3;
constexpr std::int32_t jump_field_size = 4;  // of a direct jump

const Reference* field_at(const diff::TableEntry& entry, std::uint64_t offset) {
  auto it = std::ranges::find(entry.references, offset, &Reference::offset);
  return it == entry.references.end() ? nullptr : &*it;
}

// Whether `site` of the function is one instruction as wide as a jump.
bool has_room(const diff::PieceGraph& graph, const Piece& function, std::int64_t site) {
  auto insn = graph.arch().next(graph.bytes(function), static_cast<std::uint64_t>(site));
  return insn && insn->length == graph.arch().jump(0).size();
}

// The branch that `entry` is about, its stub behind `before` bytes of other stubs; nothing where
// there is no room for a jump.
std::optional<LateBranch> make_branch(const diff::PieceGraph& graph, const Piece& function,
                                      const diff::TableEntry& entry, const elf::KeyTable& table,
                                      std::uint64_t before) {
  const Reference* code = field_at(entry, 0);
  const Reference* key = field_at(entry, table.key_field);
  const Reference* target = field_at(entry, *table.target_field);
  if (code == nullptr || target == nullptr || !has_room(graph, function, code->target_offset)) {
    return std::nullopt;
  }
  const elf::Arch& arch = graph.arch();
  const bool jumps_if_enabled = (key->target_offset & 1) == 0;
  elf::KeyTest test = arch.key_test(jumps_if_enabled);
  LateBranch out{.site = static_cast<std::uint64_t>(code->target_offset),
                 .stub = function.size + before,
                 .code = std::move(test.code),
                 .key = *key,
                 .target = *target};
  auto place = [&](Reference& reference, std::uint8_t offset, std::uint8_t bias) {
    reference.offset = out.stub + offset;
    reference.type = arch.pc_relative32();
    reference.bias = bias;
  };
  place(out.key, test.key_field, test.key_bias);
  out.key.target_offset &= ~key_flags;
  place(out.target, test.target_field, test.target_bias);
  out.target.is_branch = true;
  const std::uint64_t behind_site = out.site + arch.jump(0).size();
  Bytes back = arch.jump(static_cast<std::int32_t>(behind_site - (out.stub + out.code.size())));
  out.code.insert(out.code.end(), back.begin(), back.end());
  return out;
}

// Those that reach no stub are left, and the link refuses them.
void add_near_jumps(const diff::PieceGraph& graph, const Piece& function, LateSites& out) {
  const std::uint64_t length = graph.arch().jump(0).size();
  for (const Reference& reference : function.references) {
    if (reference.type != 0 || function.kind != diff::PieceKind::function) {
      continue;
    }
    const std::uint64_t end = reference.offset + static_cast<std::uint64_t>(reference.bias);
    NearJump jump{.field = reference.offset,
                  .end = end,
                  .stub = function.size + out.size(),
                  .target = reference};
    jump.target.offset = jump.stub + length - jump_field_size;
    jump.target.bias = jump_field_size;
    jump.target.type = graph.arch().call32();
    jump.target.synthetic = false;
    if (jump.stub - end <= std::numeric_limits<std::int8_t>::max()) {
      out.jumps.push_back(std::move(jump));
    }
  }
}

}  // namespace

std::uint64_t LateSites::size() const {
  std::uint64_t sum = 0;
  for (const NearJump& jump : jumps) {
    sum += jump.target.offset + jump_field_size - jump.stub;
  }
  for (const LateBranch& branch : branches) {
    sum += branch.code.size();
  }
  return sum;
}

void LateSites::write(Bytes& function, const elf::Arch& arch) const {
  for (const LateBranch& branch : branches) {
    Bytes jump = arch.jump(static_cast<std::int32_t>(branch.stub - branch.site));
    std::ranges::copy(jump, function.begin() + static_cast<std::ptrdiff_t>(branch.site));
    function.insert(function.end(), branch.code.begin(), branch.code.end());
  }
  for (const NearJump& jump : jumps) {
    // The field is zero, as the loader wants it.
    const Bytes code = arch.jump(static_cast<std::int32_t>(arch.jump(0).size()));
    function[jump.field] = static_cast<std::uint8_t>(jump.stub - jump.end);
    function.insert(function.end(), code.begin(), code.end());
  }
}

bool LateSites::overwrites(const Reference& reference, const elf::Arch& arch) const {
  const std::uint64_t width = arch.jump(0).size();
  return std::ranges::find(jumps, reference.offset, &NearJump::field) != jumps.end() ||
         std::ranges::any_of(branches, [&](const LateBranch& branch) {
           return reference.offset >= branch.site && reference.offset < branch.site + width;
         });
}

// Where it cannot be bound at all, the link says why when it writes the entry.
bool LateKeys::is_late(const LinkInput& input, std::int32_t piece, const Reference& key) const {
  if (resolver_.taken(input, key)) {
    return false;
  }
  Result<Binding> binding = resolver_.outside(input, piece, key);
  return binding && binding->is_late();
}

Result<LateSites> LateKeys::of(const LinkInput& input, std::int32_t piece) const {
  LateSites out;
  const diff::PieceGraph& graph = input.post->graph;
  const auto tables = graph.arch().key_tables();
  const auto& entries = input.post->tables.of(piece);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string& section = graph.object().sections()[entries[i].section].name;
    auto table = std::ranges::find(tables, section, &elf::KeyTable::section);
    const Reference* key = table == tables.end() ? nullptr : field_at(entries[i], table->key_field);
    if (key == nullptr || !is_late(input, piece, *key)) {
      continue;
    }
    out.dropped.insert(i);
    if (!table->target_field) {
      continue;
    }
    auto branch = make_branch(graph, graph.piece(piece), entries[i], *table, out.size());
    if (!branch) {
      return fail(Code::module_static_key, std::string(graph.piece(piece).name),
                  fmt::format("it has a static branch by a key of the module {}, which the kernel "
                              "cannot bind in time, and no room for a jump there",
                              input.binder->object()),
                  "do without it in the changed function");
    }
    out.branches.push_back(std::move(*branch));
  }
  add_near_jumps(graph, graph.piece(piece), out);
  return out;
}

}  // namespace suture::module
