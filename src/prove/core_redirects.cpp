// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: Suture's core decides by the sizes that the patch states whether a task is inside of an
// old or a new function, and calls thunks that are nobody's compiled code.
//
// Method: a size must be what the running kernel's symbols say, or what was compiled where that is
// more; of a new function, what lies in the module. A thunk is decoded: it must drop one return
// address and jump to its function, and its rows for unwinding (ORC) must be that function's first
// one, and before the drop that one with 8 bytes more on the stack.
#include "prove/core_redirects.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::prove {

namespace {

constexpr std::uint64_t thunk_size = 16;

// The part that the compiler split off `part`, or -1.
std::int32_t cold_part(const Object& object, const Part& part) {
  for (std::size_t i = 0; i < object.parts().size(); ++i) {
    const Part& other = object.parts()[i];
    if (other.kind != PartKind::code) {
      continue;
    }
    for (std::uint32_t symbol : part.symbols) {
      if (object.name(other) == fmt::format("{}.cold", object.elf().symbols()[symbol].name)) {
        return static_cast<std::int32_t>(i);
      }
    }
  }
  return -1;
}

class Checker {
 public:
  Checker(Meaning& meaning, const LoadedPatch& patch, ModuleTables& tables, Running& running,
          std::deque<Side>& sides)
      : meaning_(meaning), patch_(patch), tables_(tables), running_(running), sides_(sides) {}

  void check(const Resolved& it) {
    const CoreFunction& core = *it.redirect->core;
    where_ = fmt::format("redirect of {}:{}", it.redirect->object, it.redirect->name);
    check_old(it, core);
    check_new(it, core);
    check_thunk(it, core.entry);
  }

 private:
  void accuse(std::string reason) { meaning_.accuse(where_, std::move(reason)); }

  void check_old(const Resolved& it, const CoreFunction& core) {
    Side& side = sides_[it.pre_side];
    if (it.pre < 0) {
      const auto address = running_.core_symbol(core.old);
      const auto shipped = address ? running_.size_of(core.old, *address) : address;
      if (!shipped || core.old_size != *shipped || core.old_cold || core.old_cold_size != 0) {
        accuse(shipped ? "it states another extent than the old function has"
                       : shipped.error().reason);
      }
      return;
    }
    check_old_part(side, it.pre, core.old, core.old_size);
    const std::int32_t cold = cold_part(side.pre.object, side.pre.object.part(it.pre));
    if ((cold >= 0) != core.old_cold.has_value()) {
      accuse("the part that was split off the old function is another");
    } else if (core.old_cold) {
      check_old_part(side, cold, *core.old_cold, core.old_cold_size);
    } else if (core.old_cold_size != 0) {
      accuse("no part is split off the old function, and it has a size");
    }
  }

  void check_old_part(Side& side, std::int32_t part, const CoreSymbol& stated, std::uint64_t size) {
    const auto address = running_.core_symbol(stated);
    const auto meant = meaning_.run_address(side, part);
    const auto shipped = address ? running_.size_of(stated, *address) : address;
    if (!shipped || !meant || *meant != *address) {
      accuse(shipped ? fmt::format("{} is not where the function runs", stated.name)
                     : shipped.error().reason);
    } else if (size != std::max(*shipped, side.pre.object.part(part).size)) {
      accuse(fmt::format("the size of {} is not {} bytes", stated.name, size));
    }
  }

  void check_new(const Resolved& it, const CoreFunction& core) {
    Side& side = sides_[it.side];
    if (core.new_size != meaning_.form(it.side, it.post).size) {
      accuse(fmt::format("the new function has not {} bytes", core.new_size));
    }
    const std::int32_t cold = cold_part(side.post.object, side.post.object.part(it.post));
    const auto placed = meaning_.placed().find({it.side, cold});
    const bool there = cold >= 0 && placed != meaning_.placed().end();
    if (core.new_cold != (there ? placed->second : 0) ||
        core.new_cold_size != (there ? meaning_.form(it.side, cold).size : 0)) {
      accuse("the part that was split off the new function is another");
    }
  }

  void check_thunk(const Resolved& it, std::uint64_t entry) {
    const auto code = patch_.at(entry, thunk_size);
    const elf::Arch& arch = sides_[it.side].post.object.arch();
    const auto target = code ? arch.entry_thunk_target(*code) : std::nullopt;
    const LoadedPatch::Area* area = patch_.area_at(entry);
    if (!target || entry + static_cast<std::uint64_t>(*target) != it.redirect->to ||
        (patch_.elf().sections()[area->section].flags & SHF_EXECINSTR) == 0) {
      accuse("its entry does not just drop a return address and jump to the new function");
      return;
    }
    const Form& form = meaning_.form(it.side, it.post);
    const auto rows = tables_.rows_at(entry, entry + thunk_size);
    if (form.rows.empty() && rows.empty()) {
      return;
    }
    // The end of the thunk before this one may be marked at its start; then that comes first.
    const std::size_t first = rows.size() == 3 && rows[0]->is_end() ? 1 : 0;
    const ByteView at_entry = form.rows.empty() ? ByteView{} : form.rows[0].row;
    if (rows.size() != first + 2 || rows[first]->about != entry ||
        rows[first + 1]->about != entry + drop_size(*code, arch) ||
        !std::ranges::equal(rows[first]->row, deeper(at_entry)) ||
        !std::ranges::equal(rows[first + 1]->row, at_entry)) {
      accuse("the rows for unwinding (ORC) of its entry are wrong");
      return;
    }
    for (ModuleTables::Row* row : rows) {
      row->explained = true;
    }
    meaning_.expect_end_of_rows(entry + thunk_size);
  }

  static std::uint64_t drop_size(ByteView code, const elf::Arch& arch) {
    return arch.next(code, 0)->length;
  }

  // struct orc_entry (arch/x86/include/asm/orc_types.h) begins with a 16-bit distance to the frame.
  static Bytes deeper(ByteView row) {
    Bytes out(row.begin(), row.end());
    if (auto distance = read_le<std::int16_t>(row, 0)) {
      write_le<std::int16_t>(out, 0, static_cast<std::int16_t>(*distance + 8));
    }
    return out;
  }

  Meaning& meaning_;
  const LoadedPatch& patch_;
  ModuleTables& tables_;
  Running& running_;
  std::deque<Side>& sides_;
  std::string where_;
};

}  // namespace

void check_core_redirects(Meaning& meaning, const LoadedPatch& patch, ModuleTables& tables,
                          Running& running, std::deque<Side>& sides,
                          const std::vector<Resolved>& redirects,
                          std::vector<std::pair<std::uint64_t, std::uint64_t>>& extents) {
  Checker checker(meaning, patch, tables, running, sides);
  for (const Resolved& it : redirects) {
    if (it.redirect->core) {
      checker.check(it);
      extents.emplace_back(it.redirect->core->entry, thunk_size);
    }
  }
}

void check_alternatives(Meaning& meaning, const elf::Arch& arch, const LoadedPatch& patch,
                        ModuleTables& tables) {
  constexpr std::uint64_t longest = 15;
  for (const ModuleTables::Entry& entry : tables.entries()) {
    const LoadedPatch::Area* area = patch.area_at(entry.about);
    const std::uint64_t left =
        area == nullptr ? 0 : area->address + area->bytes.size() - entry.about;
    const ByteView code = patch.at(entry.about, std::min(longest, left)).value_or(ByteView{});
    const std::uint64_t size = arch.replaceable(*entry.table, entry.bytes, code);
    auto it = patch.written().lower_bound(entry.about);
    for (; it != patch.written().end() && it->first < entry.about + size; ++it) {
      if (it->second.by_core || !it->second.late.empty()) {
        meaning.accuse(patch.describe(it->first),
                       "the core writes where the loader may have put other code");
      }
    }
  }
}

}  // namespace suture::prove
