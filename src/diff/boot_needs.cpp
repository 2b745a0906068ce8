// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: what runs only at boot or load has run, and a patch leaves its changes out. That is safe
// as long as nothing that goes in counts on what it would have done.
//
// Method: all files of the patch as one graph, by the names that an object's files share.
//   1. Boot code is what is marked as such, what only it calls (boot_functions.h), and each new
//      function that nothing reaches but boot code: by a call, or by an address that only boot code
//      would have handed out (a timer, a thread, a file in /proc).
//   2. The effects of all boot code on variables, of pre and of post: which of them it writes, with
//      what instruction and constant, and of which it hands the address to a function that may
//      write there. A function that boot code calls in post, and did not in pre, belongs to it, or
//      the reverse.
//   3. Where the effects on a variable differ, and a function that goes in does more with it than
//      to write it, that function would miss what boot code would have done.
//
// Invariants: a function that the kernel has, and whose address boot code only hands out (a
// callback, an operation), is not boot code. What a callback of the patch names is seen to.
#include "diff/boot_needs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include "diff/boot_effects.h"
#include "diff/boot_graph.h"
#include "diff/code_numbers.h"
#include "diff/freed_memory.h"
#include "diff/makers.h"
#include "diff/new_state.h"

namespace suture::diff {

namespace {

// A variable, on both sides: pre's piece if it has one, else post's, or the name of another file's.
struct Variable {
  const void* object = nullptr;
  std::size_t file = 0;
  std::int32_t pre = -1;
  std::int32_t post = -1;
  std::string_view outside;
  auto operator<=>(const Variable&) const = default;
};

struct Effects {
  std::set<std::string> all;
  std::string_view first;          // the function that has the first of them
  bool first_is_boot_code = true;  // other code calls it, too
  std::string_view in_other_code;  // a function that has one of them and other code than before
};
using EffectMap = std::map<Variable, Effects>;

class BootJudge {
 public:
  explicit BootJudge(std::span<BootFile> files)
      : files_(files),
        before_(
            files, [](const BootFile& file) -> const Side& { return file.pre; },
            changed(files, true), called_at_run_time(files)),
        after_(
            files, [](const BootFile& file) -> const Side& { return file.post; },
            changed(files, false), called_at_run_time(files)) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      for (const auto& [post, origin] : files[i].diff.correlation.elsewhere.origins) {
        if (origin.file && origin.piece >= 0) {
          moved_to_[Node{*origin.file, origin.piece}] = Node{i, post};
        }
      }
    }
  }

  void run() {
    find_never_run();
    find_effects();
    find_cared_for();
    judge_what_was_handed_out();
    for (Node boot : before_.boot_functions()) {
      const auto after = post_of(boot);
      if (after && after_.is_boot_only(*after)) {
        judge_ways_of_handing_out(boot, *after);
        judge_shared_numbers(boot, *after);
      }
    }
    judge_numbers_of_allocations();
    judge_numbers_of_templates();
    judge_freed_memory(before_, after_, files_, going_in(),
                       [&](Node node) { return answered_for(node); });
    after_.for_each([&](Node node) {
      if (fate(node) != Fate::out && !never_run_.contains(node) && !after_.is_boot_only(node)) {
        judge(node);
      }
    });
    tell_makers(after_, files_);
    tell_new_state(after_, files_);
    for (std::size_t i = 0; i < files_.size(); ++i) {
      tell_boot_functions(i);
    }
  }

 private:
  // The functions of pre or of post that the patch replaces.
  static Nodes changed(std::span<BootFile> files, bool pre) {
    Nodes out;
    for (std::size_t i = 0; i < files.size(); ++i) {
      for (std::size_t k = 0; k < files[i].diff.fate.size(); ++k) {
        const std::int32_t before = files[i].diff.correlation.pre_of[k];
        if (files[i].diff.fate[k] == Fate::changed && before >= 0) {
          out.insert(Node{i, pre ? before : static_cast<std::int32_t>(k)});
        }
      }
    }
    return out;
  }

  // What run-time code names after the diff, of other files or its own.
  static Names called_at_run_time(std::span<BootFile> files) {
    std::set<std::string_view> out;
    for (const BootFile& file : files) {
      const PieceGraph& graph = file.post.graph;
      for (const Piece& piece : graph.pieces()) {
        if (is_freed_section(graph.section_of(piece).name)) {
          continue;
        }
        for (const Reference& reference : piece.references) {
          if (reference.target_piece < 0) {
            out.insert(diff::name_of(graph, reference));
          }
        }
      }
    }
    return out;
  }

  const Correlation& correlation(std::size_t file) const { return files_[file].diff.correlation; }
  Fate fate(Node post) const {
    return files_[post.file].diff.fate[static_cast<std::size_t>(post.piece)];
  }

  // The same thing on the other side.
  std::optional<Node> pre_of(Node post) const {
    const auto& origins = correlation(post.file).elsewhere.origins;
    if (auto it = origins.find(post.piece); it != origins.end()) {
      return it->second.file && it->second.piece >= 0
                 ? std::optional(Node{*it->second.file, it->second.piece})
                 : std::nullopt;
    }
    const std::int32_t piece = correlation(post.file).pre_of[static_cast<std::size_t>(post.piece)];
    return piece < 0 ? std::nullopt : std::optional(Node{post.file, piece});
  }
  std::optional<Node> post_of(Node pre) const {
    if (auto it = moved_to_.find(pre); it != moved_to_.end()) {
      return it->second;
    }
    const std::int32_t piece = correlation(pre.file).post_of[static_cast<std::size_t>(pre.piece)];
    return piece < 0 ? std::nullopt : std::optional(Node{pre.file, piece});
  }
  bool is_new(Node post) const {
    return !pre_of(post) && !correlation(post.file).elsewhere.origins.contains(post.piece);
  }

  std::vector<Node> callbacks() const {
    std::vector<Node> out;
    for (std::size_t i = 0; i < files_.size(); ++i) {
      for (const Directives::Callback& callback : files_[i].diff.directives.callbacks) {
        out.push_back(Node{i, callback.function});
      }
    }
    return out;
  }

  // A callback in the function's file may see to what objects and registrations need.
  bool answered_for(Node node) const {
    return std::ranges::any_of(callbacks(),
                               [&](Node callback) { return callback.file == node.file; });
  }

  // New functions that only boot code would have brought to life.
  void find_never_run() {
    // Most of a file is old: only what is new is kept.
    const auto is_new_code = [&](const Reference&, Node to) {
      return is_new(to) && !after_.is_boot_only(to);
    };
    std::vector<Node> roots = callbacks();
    after_.for_each([&](Node node) {
      if (is_new(node) || after_.is_boot_only(node)) {
        return;
      }
      after_.for_each_reference(node, [&](const Reference& reference) {
        const auto to = after_.target(node.file, reference);
        if (to && is_new_code(reference, *to)) {
          roots.push_back(*to);
        }
      });
    });
    const Nodes live = after_.reach(std::move(roots), is_new_code);
    for (Node node : after_.reach(after_.boot_functions(), [&](const Reference&, Node to) {
           return after_.is_boot_only(to) || (is_new(to) && !live.contains(to));
         })) {
      if (after_.is_function(node) && !after_.is_boot_only(node)) {
        never_run_.insert(node);
      }
    }
  }

  void find_effects() {
    std::vector<Node> at_boot = after_.boot_functions();
    at_boot.insert(at_boot.end(), never_run_.begin(), never_run_.end());
    const Nodes boot_before = before_.called_from(before_.boot_functions());
    const Nodes boot_after = after_.called_from(std::move(at_boot));
    for (Node node : boot_before) {
      const auto after = post_of(node);
      if (before_.is_boot_only(node) || !after || !boot_after.contains(*after)) {
        add_effects(before_, node, effects_before_);
      }
    }
    for (Node node : boot_after) {
      const auto before = pre_of(node);
      if (after_.is_boot_only(node) || !before || !boot_before.contains(*before)) {
        add_effects(after_, node, effects_after_);
      }
    }
  }

  std::optional<Variable> variable_of(const BootGraph& half, std::size_t file,
                                      const Reference& reference) const {
    if (!may_be_state(half.graph(file), reference)) {
      return std::nullopt;
    }
    const auto node = half.target(file, reference);
    if (!node) {
      return Variable{.object = files_[file].object,
                      .outside = diff::name_of(half.graph(file), reference)};
    }
    const auto pre = &half == &before_ ? node : pre_of(*node);
    return pre ? Variable{.object = files_[pre->file].object, .file = pre->file, .pre = pre->piece}
               : Variable{
                     .object = files_[node->file].object, .file = node->file, .post = node->piece};
  }

  std::vector<elf::Instruction> code_of(const BootGraph& half, Node node) const {
    const PieceGraph& graph = half.graph(node.file);
    return half.is_function(node) ? graph.arch().decode(graph.bytes(half.piece(node)))
                                  : std::vector<elf::Instruction>{};
  }

  void add_effects(const BootGraph& half, Node node, EffectMap& out) const {
    const std::vector<elf::Instruction> code = code_of(half, node);
    for (const Reference& reference : half.piece(node).references) {
      const auto variable = variable_of(half, node.file, reference);
      std::string effect;
      if (variable) {
        effect = effect_of(half.graph(node.file), half.piece(node), code, reference) +
                 effect_behind(half.graph(node.file), half.piece(node), code, reference);
      }
      if (!effect.empty()) {
        Effects& effects = out[*variable];
        effects.all.insert(std::move(effect));
        if (&half == &after_ && !is_same_code(node)) {
          effects.in_other_code = half.name(node);
        }
        if (effects.first.empty()) {
          effects.first = half.name(node);
          effects.first_is_boot_code = half.is_boot_only(node) || never_run_.contains(node);
        }
      }
    }
  }

  bool is_same_code(Node after) const {
    const auto before = pre_of(after);
    return before && std::ranges::equal(before_.graph(before->file).bytes(before_.piece(*before)),
                                        after_.graph(after.file).bytes(after_.piece(after)));
  }

  // The variables that a piece does more with than to write them, and those that it writes.
  void add_uses(Node node, std::set<Variable>& used, std::set<Variable>& written) const {
    const std::vector<elf::Instruction> code = code_of(after_, node);
    after_.for_each_reference(node, [&](const Reference& reference) {
      if (const auto variable = variable_of(after_, node.file, reference)) {
        const std::string effect =
            effect_of(after_.graph(node.file), after_.piece(node), code, reference);
        const bool stores = !reference.takes_address && effect.starts_with("mov ");
        (stores ? written : used).insert(*variable);
      }
    });
  }

  void find_cared_for() {
    for (Node node : after_.called_from(callbacks())) {
      add_uses(node, cared_for_, cared_for_);
    }
  }

  // Features of the processor by which the kernel chooses between two ways to do a thing.
  static std::set<std::uint16_t> features(const BootGraph& half, Node node) {
    constexpr std::uint64_t feature_member = 8;  // of struct alt_instr
    std::set<std::uint16_t> out;
    for (const TableEntry& entry : half.entries(node)) {
      const elf::Section& section = half.graph(node.file).object().sections()[entry.section];
      const auto feature = read_le<std::uint16_t>(section.data, entry.offset + feature_member);
      if (section.name == ".altinstructions" && feature) {
        out.insert(*feature);
      }
    }
    return out;
  }

  // Boot code has set these in variables of the kernel's.
  bool uses_new_features(Node node) const {
    const std::set<std::uint16_t> now = features(after_, node);
    const auto before = pre_of(node);
    return !now.empty() &&
           !std::ranges::includes(before ? features(before_, *before) : std::set<std::uint16_t>{},
                                  now);
  }

  void judge(Node node) {
    std::set<Variable> used;
    std::set<Variable> written;
    add_uses(node, used, written);
    if (uses_new_features(node)) {
      // Under which condition they are set is all that differs, often.
      for (std::string_view name : {"boot_cpu_data", "cpu_caps_set", "cpu_caps_cleared"}) {
        const Variable variable{.object = after_.vmlinux(), .outside = name};
        if (const auto other = effects_after_[variable].in_other_code; !other.empty()) {
          refuse(node, variable, Effects{.first = other});
          return;
        }
      }
    }
    for (const Variable& variable : used) {
      const Effects& before = effects_before_[variable];
      const Effects& after = effects_after_[variable];
      // Where boot code no longer sets it, who sets it now begins anew.
      const bool only_less = std::ranges::includes(before.all, after.all);
      if (before.all == after.all || cared_for_.contains(variable) ||
          (only_less && written.contains(variable))) {
        continue;
      }
      refuse(node, variable, after.first.empty() ? before : after);
      return;
    }
  }

  void refuse(Node node, const Variable& variable, const Effects& effects) {
    const std::string name(after_.name(node));
    files_[node.file].diff.refusals.push_back(
        Error{Code::init_needed, name.substr(0, name.find(".cold")),
              fmt::format("it uses {}, which {} would set in another way after the diff; {}, and "
                          "it has run without the diff",
                          name_of(variable), effects.first,
                          effects.first_is_boot_code ? "only boot code runs that"
                                                     : "that is because of what boot code calls"),
              "set it from a callback of the patch (SUTURE_POST_PATCH), or leave the function as "
              "it is"});
  }

  std::string_view name_of(const Variable& variable) const {
    return variable.pre >= 0    ? before_.name({variable.file, variable.pre})
           : variable.post >= 0 ? after_.name({variable.file, variable.post})
                                : variable.outside;
  }

  // Where boot code registers a function in another way, with other data or for something else, the
  // new function was never registered so.
  void judge_ways_of_handing_out(Node before, Node after) {
    std::map<Node, std::vector<HandingOut>> ways;  // of post's functions, in pre
    for (const Reference& reference : before_.piece(before).references) {
      const auto given = before_.target(before.file, reference);
      const auto now = given && !reference.is_branch && before_.is_function(*given)
                           ? post_of(*given)
                           : std::nullopt;
      if (now && fate(*now) != Fate::out) {
        ways[*now].push_back(
            handing_out(before_.graph(before.file), before_.piece(before), reference));
      }
    }
    for (const Reference& reference : after_.piece(after).references) {
      const auto given = after_.target(after.file, reference);
      const auto known = given && !reference.is_branch ? ways.find(*given) : ways.end();
      if (known == ways.end()) {
        continue;
      }
      const HandingOut now = handing_out(after_.graph(after.file), after_.piece(after), reference);
      const bool as_before = std::ranges::any_of(known->second, [&](const HandingOut& old) {
        return old.to == now.to && std::ranges::includes(old.beside, now.beside);
      });
      if (!as_before && !answered_for(*given)) {
        files_[given->file].diff.refusals.push_back(
            Error{Code::init_needed, std::string(after_.name(*given)),
                  fmt::format("with the diff, {} would register it in another way, or with other "
                              "data; that only runs at boot or load, and has run without the diff",
                              after_.name(after)),
                  fmt::format("take the change of {} out of the diff, or register the function "
                              "anew in a callback of the patch (SUTURE_POST_PATCH)",
                              after_.name(after))});
      }
    }
  }

  // A size or a limit that boot code went by, and that a function goes by which is replaced.
  void judge_shared_numbers(Node before, Node after) {
    const ChangedNumbers boots = is_same_code(after)
                                     ? ChangedNumbers{}
                                     : changed_numbers(numbers_of(before_, before).numbers,
                                                       numbers_of(after_, after).numbers);
    if (boots.empty()) {
      return;
    }
    for (const auto& [node, limits] : limits_of_replaced()) {
      const auto same = answered_for(node) ? std::nullopt : shared_number(boots, limits);
      if (same) {
        refuse_number(node, *same, Code::init_needed,
                      fmt::format("{} by {} instead of {}; that only runs at boot or load, and has "
                                  "run without the diff: what it set up may be of the old size",
                                  after_.name(after), same->size.is, same->size.was));
      }
    }
  }

  // The same for what run-time code has allocated before the patch came. What is only used while
  // the allocating function runs is of the new size, and so is what each user allocates itself.
  void judge_numbers_of_allocations() {
    Nodes told;
    for (const auto& [maker, before] : replaced()) {
      const ChangedNumbers sizes = changed_sizes(before, maker);
      if (sizes.empty()) {
        continue;
      }
      const Nodes called = after_.only_called_from(maker);
      for (const auto& [node, limits] : limits_of_replaced()) {
        const auto same = called.contains(node) || answered_for(node)
                              ? std::nullopt
                              : shared_number(sizes, limits);
        if (same && same->limit.does_harm() && !told.contains(node) &&
            !shared_number(changed_sizes(*pre_of(node), node), {same->limit})) {
          told.insert(node);
          refuse_number(node, *same, Code::layout_changed,
                        fmt::format("{}, which allocates memory, by {} instead of {}: what it has "
                                    "allocated so far may be of the old size",
                                    after_.name(maker), same->size.is, same->size.was));
        }
      }
    }
  }

  // The same for a constant table by which a function makes objects: they have its numbers.
  void judge_numbers_of_templates() {
    Nodes told;
    for (const auto& [maker, before] : replaced()) {
      for (const Reference& reference : after_.piece(maker).references) {
        const ChangedNumbers sizes = numbers_of_template(maker, reference);
        if (sizes.empty()) {
          continue;
        }
        for (const auto& [node, limits] : limits_of_replaced()) {
          const auto same =
              node == maker || answered_for(node) ? std::nullopt : shared_number(sizes, limits);
          if (same && same->limit.does_harm() && told.insert(node).second) {
            refuse_number(node, *same, Code::layout_changed,
                          fmt::format("{} has {} instead of {}, by which {} makes objects: those "
                                      "that there are may be of the old size",
                                      diff::name_of(after_.graph(maker.file), reference),
                                      same->size.is, same->size.was, after_.name(maker)));
          }
        }
      }
    }
  }

  ChangedNumbers numbers_of_template(Node maker, const Reference& reference) const {
    const auto table = after_.target(maker.file, reference);
    if (!table || !reference.takes_address || after_.is_function(*table) ||
        fate(*table) == Fate::out) {
      return {};
    }
    const auto before = pre_of(*table);
    const elf::Section& section = after_.graph(table->file).section_of(after_.piece(*table));
    if (!before || (section.flags & SHF_WRITE) != 0 ||
        !makes_objects(handing_out(after_.graph(maker.file), after_.piece(maker), reference).to)) {
      return {};
    }
    return changed_data(before_.graph(before->file), before_.piece(*before),
                        after_.graph(table->file), after_.piece(*table));
  }

  static bool makes_objects(std::string_view function) {
    constexpr std::array<std::string_view, 7> words{"create", "alloc", "dup",  "register",
                                                    "init",   "new",   "setup"};
    return std::ranges::any_of(words, [&](auto word) { return function.contains(word); });
  }

  void refuse_number(Node node, const SharedNumber& same, Code code, std::string_view other) {
    files_[node.file].diff.refusals.push_back(
        Error{code, std::string(after_.name(node)),
              fmt::format("it {} by {} instead of {} after the diff, and {}",
                          same.limit.kind == NumberChange::Kind::shift ? "shifts" : "goes",
                          same.limit.is, same.limit.was, other),
              "keep the number, or see to what was set up in a callback of the patch "
              "(SUTURE_PRE_PATCH)"});
  }

  CodeNumbers numbers_of(const BootGraph& half, Node node) const {
    return numbers_in(half.graph(node.file), half.piece(node), code_of(half, node));
  }

  ChangedNumbers changed_sizes(Node before, Node after) const {
    const auto sizes = [&](const BootGraph& half, Node node) {
      return allocated_sizes(half.graph(node.file), half.piece(node), code_of(half, node));
    };
    return is_same_code(after) ? ChangedNumbers{}
                               : changed_numbers(sizes(before_, before), sizes(after_, after));
  }

  // The run-time functions that go in and were there before, and what they were. What has no entry
  // for ftrace comes as new code beside its callers.
  std::vector<std::pair<Node, Node>> replaced() const {
    std::vector<std::pair<Node, Node>> out;
    after_.for_each([&](Node node) {
      const auto before = fate(node) != Fate::out ? pre_of(node) : std::nullopt;
      if (before && after_.is_function(node) && !after_.is_boot_only(node)) {
        out.emplace_back(node, *before);
      }
    });
    return out;
  }

  // These, and new ones.
  std::vector<GoingIn> going_in() const {
    std::vector<GoingIn> out;
    after_.for_each([&](Node node) {
      const bool counts = fate(node) != Fate::out && after_.is_function(node) &&
                          !after_.is_boot_only(node) && !never_run_.contains(node);
      const auto before = counts ? pre_of(node) : std::nullopt;
      if (before || (counts && is_new(node))) {
        out.push_back({node, before});
      }
    });
    return out;
  }

  // Read once, when a size has changed at all.
  const std::map<Node, ChangedNumbers>& limits_of_replaced() {
    if (!limits_of_replaced_) {
      limits_of_replaced_.emplace();
      for (const auto& [node, before] : replaced()) {
        (*limits_of_replaced_)[node] =
            is_same_code(node)
                ? ChangedNumbers{}
                : changed_limits(numbers_of(before_, before), numbers_of(after_, node));
      }
    }
    return *limits_of_replaced_;
  }

  // What boot code has handed out is called for ever, and where its name is gone nothing redirects
  // it. What run-time code has handed out is called as long as somebody has it.
  void judge_what_was_handed_out() {
    const auto hands_out = [&](const Reference& reference, Node to) {
      return !post_of(to) && !(reference.is_branch && before_.is_function(to));
    };
    std::vector<Node> first;
    for (Node boot : before_.boot_functions()) {
      for (const Reference& reference : before_.piece(boot).references) {
        const auto to = before_.target(boot.file, reference);
        if (to && hands_out(reference, *to) &&
            (before_.is_function(*to) || reference.takes_address)) {
          first.push_back(*to);
        }
      }
    }
    const Nodes by_boot = before_.reach(std::move(first), hands_out);
    Nodes given = by_boot;
    before_.for_each([&](Node node) {
      for (const Reference& reference : before_.piece(node).references) {
        const auto to = before_.target(node.file, reference);
        if (to && before_.is_function(node) && !reference.is_branch &&
            reference.target_offset == 0 && !post_of(*to)) {
          given.insert(*to);
        }
      }
    });
    for (Node node : given) {
      const Piece& piece = before_.piece(node);
      const bool counts =
          before_.is_function(node) ||
          (piece.kind == PieceKind::data && !piece.name.empty() &&
           !is_copyable(before_.graph(node.file), piece) && !may_start_anew(base_name(piece.name)));
      if (!counts || before_.is_boot_only(node) || post_of(node)) {
        continue;
      }
      const std::string name(before_.name(node));
      ObjectDiff& diff = files_[node.file].diff;
      if (by_boot.contains(node)) {
        diff.refusals.push_back(
            Error{Code::init_needed, name,
                  "it goes, and boot code has given its address to others: the kernel still uses "
                  "the old one, and nothing would use what takes its place",
                  "keep its name, and change what it does"});
      } else if (before_.is_function(node)) {
        diff.notes.push_back(
            fmt::format("{} goes: whoever has its address still calls the old one", name));
      }
    }
  }

  // What is replaced, and runs no more before the next boot or load. A module that is loaded later
  // runs it as the patch has it.
  void tell_boot_functions(std::size_t file) {
    ObjectDiff& diff = files_[file].diff;
    const bool boots = files_[file].home == Home::vmlinux;
    bool runs = false;
    bool idle = false;
    for (std::size_t i = 0; i < diff.fate.size(); ++i) {
      if (!replaces(diff.fate[i])) {
        continue;
      }
      const Node node{file, static_cast<std::int32_t>(i)};
      if (after_.is_boot_only(node)) {
        idle = true;
        diff.notes.push_back(
            fmt::format("{} is called by nothing but {}: its change does nothing before the next",
                        authors_name(after_.graph(file), after_.piece(node)),
                        boots ? "the kernel's boot" : "its module's load"));
      } else {
        runs = true;
      }
    }
    diff.only_boot_changed = boots && idle && !runs && diff.directives.callbacks.empty();
  }

  std::span<BootFile> files_;
  BootGraph before_;
  BootGraph after_;
  std::map<Node, Node> moved_to_;  // pre → post
  Nodes never_run_;
  std::set<Variable> cared_for_;
  std::optional<std::map<Node, ChangedNumbers>> limits_of_replaced_;
  EffectMap effects_before_;
  EffectMap effects_after_;
};

}  // namespace

void judge_boot_needs(std::span<BootFile> files) { BootJudge(files).run(); }

}  // namespace suture::diff
