// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what runs only at boot or load has run, and a patch leaves its changes out. That is safe
// as long as nothing that goes in counts on what it would have done.
//
// Method: the effects of all boot code on variables, of pre and of post: which of them it writes,
// with what instruction and constant, and of which it hands the address to a function that may
// write there. A function that boot code calls in post, and did not in pre, belongs to it, or the
// reverse. Where the effects on a variable differ, and a function that goes in does more with it
// than to write it, that function would miss what boot code would have done.
//
// Invariants: functions whose address boot code only hands out (callbacks, operations) are not boot
// code. A value that is computed in another way and stored by the same instruction is no
// difference: the note that names the boot code tells of it. Locks, and what is only read, are left
// as they were found, so to be given them changes nothing.
#include "diff/boot_needs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include "diff/boot_functions.h"

namespace suture::diff {

namespace {

// A variable, on both sides: pre's piece if it has one, else post's, or the name of another file's.
struct Variable {
  std::int32_t pre = -1;
  std::int32_t post = -1;
  std::string_view outside;
  auto operator<=>(const Variable&) const = default;
};

struct Effects {
  std::set<std::string> all;
  std::string_view first;  // the function that has the first of them
};

using EffectMap = std::map<Variable, Effects>;

// They leave what they are given as they found it.
bool leaves_as_it_was(std::string_view function) {
  constexpr std::array<std::string_view, 20> starts{
      "mutex_lock", "mutex_unlock", "_raw_spin_", "_raw_read_", "_raw_write_",
      "down_read",  "down_write",   "up_read",    "up_write",   "rt_mutex_",
      "__mutex_",   "_printk",      "printk",     "strcmp",     "strncmp",
      "strcasecmp", "strlen",       "seq_printf", "memcmp",     "lockdep_"};
  return std::ranges::any_of(starts, [&](auto start) { return function.starts_with(start); });
}

std::string_view name_of(const PieceGraph& graph, const Reference& reference) {
  return reference.target_piece >= 0 && !graph.piece(reference.target_piece).name.empty()
             ? graph.piece(reference.target_piece).name
             : std::string_view(graph.object().symbols()[reference.symbol].name);
}

// What one side's functions do to variables.
class Doer {
 public:
  Doer(const Side& side, const std::vector<std::int32_t>* pre_of)
      : graph_(side.graph),
        tables_(side.tables),
        pre_of_(pre_of),
        unmarked_(unmarked_boot_functions(side.graph)) {}

  // Boot code, and what it calls.
  std::set<std::int32_t> boot_code() const {
    std::vector<std::int32_t> work;
    for (std::size_t i = 0; i < graph_.pieces().size(); ++i) {
      const Piece& piece = graph_.pieces()[i];
      const std::string& section = graph_.section_of(piece).name;
      if (piece.kind == PieceKind::function && is_freed_section(section) &&
          !is_exit_section(section)) {
        work.push_back(static_cast<std::int32_t>(i));
      }
    }
    work.insert(work.end(), unmarked_.begin(), unmarked_.end());
    return called_from(std::move(work));
  }

  // Nothing but boot or load runs it.
  bool is_boot_only(std::int32_t index) const {
    return is_freed_section(graph_.section_of(graph_.piece(index)).name) ||
           unmarked_.contains(index);
  }

  std::set<std::int32_t> called_from(std::vector<std::int32_t> work) const {
    std::set<std::int32_t> out;
    while (!work.empty()) {
      const std::int32_t index = work.back();
      work.pop_back();
      if (!out.insert(index).second) {
        continue;
      }
      for (const Reference& reference : graph_.piece(index).references) {
        if (reference.is_branch && reference.target_piece >= 0 &&
            graph_.piece(reference.target_piece).kind == PieceKind::function) {
          work.push_back(reference.target_piece);
        }
      }
    }
    return out;
  }

  void add_effects(std::int32_t function, EffectMap& out) const {
    const Piece& piece = graph_.piece(function);
    const std::vector<elf::Instruction> code = graph_.arch().decode(graph_.bytes(piece));
    for (const Reference& reference : piece.references) {
      const auto variable = variable_of(reference);
      const std::string effect = variable ? effect_of(piece, code, reference) : std::string{};
      if (!effect.empty()) {
        Effects& effects = out[*variable];
        effects.all.insert(effect);
        effects.first = effects.first.empty() ? piece.name : effects.first;
      }
    }
  }

  // The variables that a piece does more with than to write them, and those that it writes.
  void add_uses(std::int32_t index, std::set<Variable>& used, std::set<Variable>& written) const {
    const Piece& piece = graph_.piece(index);
    const std::vector<elf::Instruction> code = piece.kind == PieceKind::function
                                                   ? graph_.arch().decode(graph_.bytes(piece))
                                                   : std::vector<elf::Instruction>{};
    for (const Reference& reference : piece.references) {
      if (const auto variable = variable_of(reference)) {
        const std::string effect = effect_of(piece, code, reference);
        const bool stores = !reference.takes_address && effect.starts_with("mov ");
        (stores ? written : used).insert(*variable);
      }
    }
    for (const TableEntry& entry : tables_.of(index)) {
      for (const Reference& reference : entry.references) {
        if (const auto variable = variable_of(reference)) {
          used.insert(*variable);
        }
      }
    }
  }

 private:
  std::optional<Variable> variable_of(const Reference& reference) const {
    if (reference.is_branch) {
      return std::nullopt;
    }
    if (reference.target_piece < 0) {
      return Variable{.outside = graph_.object().symbols()[reference.symbol].name};
    }
    const Piece& target = graph_.piece(reference.target_piece);
    if (target.kind != PieceKind::data || target.name.empty() || is_copyable(graph_, target) ||
        may_start_anew(base_name(target.name)) ||
        (graph_.section_of(target).flags & SHF_WRITE) == 0 ||
        is_init_section(graph_.section_of(target).name)) {
      return std::nullopt;
    }
    const std::int32_t pre = pre_of_ == nullptr
                                 ? reference.target_piece
                                 : (*pre_of_)[static_cast<std::size_t>(reference.target_piece)];
    return pre >= 0 ? Variable{.pre = pre} : Variable{.post = reference.target_piece};
  }

  // Empty where the instruction does not change what the field names. Otherwise the same words for
  // what does the same, whatever register the value comes from.
  std::string effect_of(const Piece& piece, const std::vector<elf::Instruction>& code,
                        const Reference& reference) const {
    auto insn = std::ranges::upper_bound(code, reference.offset, {}, &elf::Instruction::offset);
    if (insn == code.begin()) {
      return {};
    }
    --insn;
    if (reference.takes_address) {
      auto call = std::ranges::find_if(piece.references, [&](const Reference& other) {
        return other.is_branch && other.offset > reference.offset &&
               name_of(graph_, other) != piece.name;
      });
      const std::string_view given =
          call == piece.references.end() ? std::string_view{} : name_of(graph_, *call);
      // Everything that other files share is given to somebody somewhere; keys to be turned on.
      const bool counts = reference.target_piece >= 0 || given.starts_with("static_key_");
      return leaves_as_it_was(given) || !counts ? std::string{}
                                                : fmt::format("given {}", reference.target_offset);
    }
    std::string effect =
        graph_.arch().memory_effect(graph_.bytes(piece).subspan(insn->offset, insn->length));
    if (!effect.empty()) {
      effect += fmt::format(" at {}", reference.target_offset);
    }
    for (const Reference& other : piece.references) {
      if (!effect.empty() && &other != &reference && other.offset > insn->offset &&
          other.offset < std::uint64_t{insn->offset} + insn->length) {
        effect += fmt::format(" {}+{}", name_of(graph_, other), other.target_offset);
      }
    }
    return effect;
  }

  const PieceGraph& graph_;
  const CodeTables& tables_;
  const std::vector<std::int32_t>* pre_of_;  // null for pre itself
  std::set<std::int32_t> unmarked_;
};

class Judge {
 public:
  Judge(const Side& pre, const Side& post, ObjectDiff& out)
      : pre_(pre),
        post_(post),
        out_(out),
        before_(pre, nullptr),
        after_(post, &out.correlation.pre_of) {}

  void run() {
    find_effects();
    std::set<Variable> cared_for;
    std::vector<std::int32_t> callbacks;
    for (const Directives::Callback& callback : out_.directives.callbacks) {
      callbacks.push_back(callback.function);
    }
    for (std::int32_t function : after_.called_from(std::move(callbacks))) {
      after_.add_uses(function, cared_for, cared_for);
    }
    name_what_concerns_others(cared_for);
    for (std::size_t i = 0; i < out_.fate.size(); ++i) {
      if (out_.fate[i] != Fate::out) {
        judge(static_cast<std::int32_t>(i), cared_for);
      }
    }
  }

  // What is replaced, and runs no more before the next boot.
  void tell_boot_functions() {
    bool runs = false;
    bool idle = false;
    for (std::size_t i = 0; i < out_.fate.size(); ++i) {
      if (out_.fate[i] != Fate::changed && out_.fate[i] != Fate::moved) {
        continue;
      }
      const auto index = static_cast<std::int32_t>(i);
      if (after_.is_boot_only(index)) {
        idle = true;
        out_.notes.push_back(
            fmt::format("{} is called by nothing but the kernel's boot: its change does nothing "
                        "before the next",
                        name_of(index)));
      } else {
        runs = true;
      }
    }
    out_.only_boot_changed = idle && !runs && out_.directives.callbacks.empty();
  }

 private:
  void find_effects() {
    const std::set<std::int32_t> boot_before = before_.boot_code();
    const std::set<std::int32_t> boot_after = after_.boot_code();
    for (std::int32_t index : boot_before) {
      if (before_.is_boot_only(index) ||
          !boot_after.contains(out_.correlation.post_of[static_cast<std::size_t>(index)])) {
        before_.add_effects(index, effects_before_);
      }
    }
    for (std::int32_t index : boot_after) {
      if (after_.is_boot_only(index) ||
          !boot_before.contains(out_.correlation.pre_of[static_cast<std::size_t>(index)])) {
        after_.add_effects(index, effects_after_);
      }
    }
  }

  void judge(std::int32_t index, const std::set<Variable>& cared_for) {
    std::set<Variable> used;
    std::set<Variable> written;
    after_.add_uses(index, used, written);
    for (const Variable& variable : used) {
      if (!variable.outside.empty()) {
        out_.used_of_others.emplace(variable.outside, name_of(index));
      } else if (is_global(variable)) {
        out_.used_for_all.emplace(name_of(variable), name_of(index));
      }
    }
    for (const Variable& variable : used) {
      const Effects& before = effects_before_[variable];
      const Effects& after = effects_after_[variable];
      // Where boot code no longer sets it, who sets it now begins anew.
      const bool only_less = std::ranges::includes(before.all, after.all);
      if (before.all == after.all || cared_for.contains(variable) ||
          (only_less && written.contains(variable))) {
        continue;
      }
      out_.refusals.push_back(boot_need(name_of(index), name_of(variable), setter(variable)));
      return;
    }
  }

  void name_what_concerns_others(const std::set<Variable>& cared_for) {
    std::set<Variable> all;
    for (const EffectMap* effects : {&effects_before_, &effects_after_}) {
      for (const auto& [variable, effect] : *effects) {
        all.insert(variable);
      }
    }
    for (const Variable& variable : all) {
      if (is_global(variable) && !cared_for.contains(variable) &&
          effects_before_[variable].all != effects_after_[variable].all) {
        out_.set_at_boot.emplace(name_of(variable), setter(variable));
      }
    }
  }

  bool is_global(const Variable& variable) const {
    return variable.pre >= 0    ? pre_.graph.piece(variable.pre).global
           : variable.post >= 0 ? post_.graph.piece(variable.post).global
                                : true;
  }

  // The boot code that sets it after the diff, or did before.
  std::string_view setter(const Variable& variable) {
    const std::string_view after = effects_after_[variable].first;
    return after.empty() ? effects_before_[variable].first : after;
  }

  std::string_view name_of(std::int32_t index) const {
    const Piece& piece = post_.graph.piece(index);
    return piece.name.empty() ? std::string_view("unnamed data") : piece.name;
  }

  std::string_view name_of(const Variable& variable) const {
    return variable.pre >= 0    ? pre_.graph.piece(variable.pre).name
           : variable.post >= 0 ? post_.graph.piece(variable.post).name
                                : variable.outside;
  }

  const Side& pre_;
  const Side& post_;
  ObjectDiff& out_;
  Doer before_;
  Doer after_;
  EffectMap effects_before_;
  EffectMap effects_after_;
};

}  // namespace

Error boot_need(std::string_view function, std::string_view variable, std::string_view boot) {
  return Error{
      Code::init_needed, std::string(function),
      fmt::format("it uses {}, which {} would set in another way after the diff; that only "
                  "runs at boot or load, and has run as it was",
                  variable, boot),
      "set it from a callback of the patch (SUTURE_POST_PATCH), or leave the function as "
      "it is"};
}

void judge_boot_needs(const Side& pre, const Side& post, Home home, ObjectDiff& out) {
  Judge judge(pre, post, out);
  judge.run();
  if (home == Home::vmlinux) {  // a module that is loaded later runs it as the patch has it
    judge.tell_boot_functions();
  }
}

}  // namespace suture::diff
