// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a patch gives the kernel the address of a function or variable that only the patch has:
// a timer's function, an RCU callback, operations, a work item. Taking the patch back redirects
// calls and waits for tasks inside, but nobody takes such an address back. Once the module is
// freed, the timer fires into freed memory.
//
// Method: for each function and variable that is the patch's own, the code that names its address
// is followed (diff::AddressWatch) until the address is used up or gets out: stored, returned to
// other files, or passed to a function of the kernel that may keep it. Of code the kernel's
// functions are told apart by name alone: those that call what they are given before they return
// are listed. Of data their shipped code is followed, too. A variable that holds such addresses is
// followed together with what is read from it; so a constant table that is only looked into by the
// patch's own code holds nothing back. Pieces of other files that name a new global count likewise.
//
// What does not count: calls and jumps; the address of a replaced function, which stays the
// original's; places inside of a function (_THIS_IP_, switch tables); tables and descriptors that
// the kernel forgets with the module (jump labels, __bug_table, pr_debug, tracepoints, lock
// classes); and texts, which the kernel keeps in logs' and errors' callers all the time.
//
// Invariant: doubt pins. A module that is pinned without need costs memory until the next boot; one
// that goes too early costs the machine.
#include "module/escapes.h"

#include <algorithm>
#include <memory>
#include <string_view>

#include "diff/address_watch.h"
#include "kernel/borrowers.h"

namespace suture::module {

namespace {

using diff::Fate;
using diff::Piece;
using diff::PieceKind;
using diff::Reference;
using elf::AddressFate;

// What the kernel finds by itself when the module comes, and forgets when it goes.
bool goes_with_the_module(std::string_view section) {
  return section == "__dyndbg" || section == "__dyndbg_classes" || section == ".printk_index" ||
         section == "__param" || section == "_ftrace_events" ||
         section.starts_with("__tracepoint") || section.starts_with("__bpf_raw_tp_map") ||
         section.starts_with("___ksymtab") || section.starts_with("__trace_printk") ||
         section.starts_with(".suture.") || section.starts_with(".init") ||
         section.starts_with(".exit") || section.starts_with(".discard");
}

// One file of the patch, and where addresses go in it.
struct File {
  const LinkInput& input;
  diff::OutsideFate outside;
  diff::AddressWatch watch;
  bool by_name = false;  // what is being followed is code, or holds addresses of it

  explicit File(const LinkInput& from)
      : input(from),
        outside([this](std::string_view name, elf::AddressArguments arguments) {
          return fate(name, arguments);
        }),
        watch(*from.post, outside) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const diff::PieceGraph& graph() const { return input.post->graph; }
  const Piece& piece(std::size_t index) const { return graph().pieces()[index]; }
  const std::string& section(std::size_t index) const {
    return graph().section_of(piece(index)).name;
  }
  bool taken(std::size_t index) const { return input.diff->fate[index] != Fate::out; }

  AddressFate fate(std::string_view name, elf::AddressArguments arguments) const {
    if (by_name) {
      return kernel::calls_at_once(name) ? AddressFate::stays : AddressFate::leaves;
    }
    if (kernel::uses_at_once(name)) {
      return AddressFate::stays;
    }
    return input.outside ? input.outside(name, arguments) : AddressFate::leaves;
  }
};

class Search {
 public:
  explicit Search(const std::vector<LinkInput>& inputs) {
    for (const LinkInput& input : inputs) {
      files_.push_back(std::make_unique<File>(input));
    }
  }

  std::vector<Pin> run() {
    for (const auto& file : files_) {
      for (std::size_t i = 0; i < file->graph().pieces().size(); ++i) {
        if (is_own(*file, i) && !is_taken_back(*file, i)) {
          judge(*file, i);
        }
      }
    }
    return std::move(pins_);
  }

 private:
  // Only the patch has it, and it is something that others could call or use.
  static bool is_own(const File& file, std::size_t index) {
    const Piece& piece = file.piece(index);
    if (file.input.diff->fate[index] != Fate::fresh || goes_with_the_module(file.section(index))) {
      return false;
    }
    if (piece.kind == PieceKind::function) {
      return !is_cold(piece);
    }
    // A copy of constant data points to what the kernel has, and its own address stays.
    return piece.kind == PieceKind::data && piece.size != 0 &&
           (holds_addresses(file, index) || (file.input.diff->correlation.pre_of[index] < 0 &&
                                             !diff::may_start_anew(diff::base_name(piece.name)) &&
                                             !diff::is_copyable(file.graph(), piece)));
  }

  // Nobody can call it: what has its address is a table of labels.
  static bool is_cold(const Piece& piece) {
    return piece.name.find(".cold") != std::string_view::npos;
  }

  // By the author's word.
  static bool is_taken_back(const File& file, std::size_t index) {
    const auto& words = file.input.diff->directives.taken_back;
    return std::ranges::find(words, file.piece(index).name, &diff::Directives::Ignored::name) !=
           words.end();
  }

  // Of functions and variables that only the patch has.
  static bool holds_addresses(const File& file, std::size_t index) {
    return std::ranges::any_of(file.piece(index).references, [&](const Reference& reference) {
      if (reference.target_piece < 0) {
        return false;
      }
      const auto target = static_cast<std::size_t>(reference.target_piece);
      const PieceKind kind = file.piece(target).kind;
      return file.input.diff->fate[target] == Fate::fresh &&
             ((kind == PieceKind::function && reference.target_offset == 0 &&
               !is_cold(file.piece(target))) ||
              (kind == PieceKind::data && !diff::is_copyable(file.graph(), file.piece(target))));
    });
  }

  static bool is_named(const File& file, std::size_t index, std::string_view name) {
    const Piece& piece = file.piece(index);
    const auto& symbols = file.graph().object().symbols();
    return piece.global &&
           (piece.name == name || std::ranges::any_of(piece.aliases, [&](std::uint32_t alias) {
              return symbols[alias].name == name;
            }));
  }

  void judge(File& home, std::size_t index) {
    const bool code = home.piece(index).kind == PieceKind::function;
    const bool contents = !code && holds_addresses(home, index);
    for (const auto& file : files_) {
      const bool here = file.get() == &home;
      if (!here && !home.piece(index).global) {
        continue;
      }
      auto holds = [&](const Reference& reference) {
        if (code && (reference.is_branch || reference.target_offset != 0)) {
          return false;
        }
        if (reference.target_piece >= 0) {
          return here && reference.target_piece == static_cast<std::int32_t>(index);
        }
        return !here &&
               is_named(home, index, file->graph().object().symbols()[reference.symbol].name);
      };
      file->by_name = code || contents;
      const diff::AddressWatch::Held held{
          .in = holds,
          .variable = here && !code ? static_cast<std::int32_t>(index) : -1,
          .contents = contents};
      if (judge_in(home, index, *file, held)) {
        return;
      }
    }
  }

  // Those of the file that name it. True where it gets out.
  bool judge_in(const File& home, std::size_t index, File& file,
                const diff::AddressWatch::Held& held) {
    std::set<std::int32_t> holders;
    for (std::size_t i = 0; i < file.graph().pieces().size(); ++i) {
      const Piece& user = file.piece(i);
      if (!file.taken(i) || goes_with_the_module(file.section(i)) ||
          std::ranges::none_of(user.references, held.in)) {
        continue;
      }
      if (user.kind == PieceKind::function) {
        holders.insert(file.watch.owner_of(static_cast<std::int32_t>(i)));
      } else if (user.kind != PieceKind::data) {
        pin(home, index, file, i);  // code that may be put in the place of other code
        return true;
      } else if (&home != &file) {
        // Followed without what it holds: the other file does not know what that is.
        pin(home, index, file, i);
        return true;
      }
      // Else the variable is followed itself, with what it holds.
    }
    auto leak = file.watch.leak(held, std::move(holders));
    if (leak) {
      pin(home, index, file, static_cast<std::size_t>(*leak));
    }
    return leak.has_value();
  }

  void pin(const File& home, std::size_t index, const File& file, std::size_t by) {
    auto name = [](const File& of, std::size_t piece) {
      return of.piece(piece).name.empty() ? of.section(piece) : std::string(of.piece(piece).name);
    };
    pins_.push_back(
        Pin{.source = file.input.source, .name = name(home, index), .by = name(file, by)});
  }

  std::vector<std::unique_ptr<File>> files_;
  std::vector<Pin> pins_;
};

}  // namespace

std::vector<Pin> find_escapes(const std::vector<LinkInput>& inputs) { return Search(inputs).run(); }

}  // namespace suture::module
